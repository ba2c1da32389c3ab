-- Deletes jobs that nobody has started: $1 ids, $2 the reason for each.
select deleted, deleted > 0 as ruled, queues, priorities from jobs.expire_unstarted($1, $2)
