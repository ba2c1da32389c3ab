-- Makes the partition of a day: $1.
select jobs.make_day($1)
