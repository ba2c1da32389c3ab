-- Adds up what happened to members of batches: $1 how many batches.
select folded, false as ruled, queues, priorities from jobs.fold_batches($1)
