-- As `insert_with_rules`, in a caller's transaction; $15 whether others are told when it commits.
select ids, existing, problem, about, detail, queues, priorities, now, below
  from jobs.insert_with_rules_within($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
