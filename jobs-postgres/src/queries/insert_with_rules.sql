-- Stores jobs of which some have rules, and a batch: $1-$8 as `insert`, $9 rules, $10 a batch to be made or null, $11 its name,
-- $12 the batch that it is in, $13 how long it is kept, $14 whether it is complete.
select ids, existing, problem, about, detail, queues, priorities, now, below
  from jobs.insert_with_rules_alone($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
