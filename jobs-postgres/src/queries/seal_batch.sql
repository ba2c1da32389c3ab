-- Makes a batch complete: $1.
select known, true as ruled, queues, priorities from jobs.seal_batch($1)
