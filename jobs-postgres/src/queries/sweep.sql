-- Removes keys, starts and tokens that count no more: $1 how many of each at most.
select jobs.sweep($1) as gone
