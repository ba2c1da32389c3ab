-- Settles one success in the caller's transaction: $1 worker, $2 claim, $3 job, $4 run, $5 seconds that it ran, $6
-- result, $7 note, $8 whether others are told of what follows.
select settled, ruled from jobs.complete($1, $2, $3, $4, $5, $6, $7, $8)
