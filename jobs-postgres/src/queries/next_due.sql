-- Seconds until the first job in some lanes is due: $1 queues, $2 priorities, $3 and $4 where each lane was seen empty,
-- $5 kinds that do not count.
select jobs.next_due($1, $2, $3, $4, $5) as wait
