-- Drops the partition of a day if nothing is in it: $1.
select jobs.drop_day($1)
