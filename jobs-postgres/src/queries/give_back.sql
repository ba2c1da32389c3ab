-- Gives back jobs of claims, of a worker that lives or has retired: $1 worker, $2 claims or null for all, $3 how many
-- jobs.
select released, more, ruled, queues, priorities from jobs.give_back($1, $2, $3, null, null, null)
