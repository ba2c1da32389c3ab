-- Settles runs that simply succeeded: $1 worker, $2 claims, $3 claims that have no other job left, $4 the smallest id,
-- $5 the greatest, $6 ids in ascending order, $7 runs, $8 seconds that each ran, $9 seconds since each ended, $10
-- results.
select settled, ids, applied, ruled, queues, priorities from jobs.settle_success($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
