-- Marks a batch, and those in it, as cancelled: $1 the batch, $2 who, $3 why.
select jobs.cancel_batch($1, $2, $3)
