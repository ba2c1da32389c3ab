-- Takes due jobs: $1 worker, $2 the claim's id, $3 limit, $4 kinds to leave, $5 the limit of each share, $6-$10 lanes
-- in the order in which they are to be emptied: share (counted from 1), queue, priority, floor (run_at or null, and
-- job_id).
select id, kind, args, queue, priority, options, rules, attempt, lost, run, run_at, xmin, xmax, now, paused, taken,
       paused_kinds, queue_order
  from jobs.claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
