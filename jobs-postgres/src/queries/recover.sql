-- Gives jobs that were nowhere twice a ticket: $1 seconds in between, $2 how many at most.
select ids, kinds, ruled, queues, priorities from jobs.recover($1, $2)
