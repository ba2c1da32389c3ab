-- Lets jobs of a limited queue get in line: $1 the queue, $2 how many.
select jobs.limit_queue($1, $2)
