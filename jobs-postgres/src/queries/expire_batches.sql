-- Removes some batches whose time is up: $1-$3 until when succeeded, failed, deleted ones are kept, $4 how many.
select jobs.expire_batches($1, $2, $3, $4)
