-- Settles runs that ended in any way: $1 worker, $2 claims, $3 claims that have no other job left, $4 the smallest id,
-- $5 the greatest, $6 ids in ascending order, $7 runs, $8 seconds that each ran, $9 seconds since each ended, $10
-- results, $11 the claim of each, $12 what becomes of it, $13 seconds to wait, $14 reasons, $15 how the attempt ended,
-- $16 its error.
select ids, ruled, queues, priorities from jobs.settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
