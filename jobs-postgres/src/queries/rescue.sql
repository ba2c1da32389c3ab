-- Takes a dead worker's jobs back: $1 worker, $2 the beat that was watched, $3 how many deaths fail a job, $4 the
-- reason for that, $5 how many jobs at most.
select released, failed, more, ruled, queues, priorities from jobs.rescue($1, $2, $3, $4, $5)
