-- Empties the partition of a day of what is over: $1 the day, $2-$4 until when succeeded, failed, deleted jobs are
-- kept.
select jobs.empty_day($1, $2, $3, $4)
