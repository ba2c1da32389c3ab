-- Ends the waiting for Failed jobs whose time is up: $1-$3 until when succeeded, failed, deleted jobs are kept, $4 how many.
select jobs.abandon($1, $2, $3, $4)
