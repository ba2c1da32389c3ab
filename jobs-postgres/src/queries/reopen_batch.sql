-- Opens a batch that has ended or was cancelled: $1.
select jobs.reopen_batch($1)
