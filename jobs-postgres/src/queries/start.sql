-- A worker is about to start a job: $1 worker, $2 claim, $3 job, $4 run.
select jobs.start($1, $2, $3, $4)
