-- Removes some jobs whose time is up, with their history: $1 the id after which to begin, $2 the id before which to
-- end, $3-$5 until when succeeded, failed, deleted jobs are kept, $6 how many at most.
select jobs.expire($1, $2, $3, $4, $5, $6) as ids
