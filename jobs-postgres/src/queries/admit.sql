-- Lets jobs in that wait before limits: $1 how many.
select busy, admitted, again, ruled, queues, priorities from jobs.admit($1)
