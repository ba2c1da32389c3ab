-- The attempts of a job that did not succeed: $1 its id.
select run, number, worker, started_at, finished_at, outcome, reason, error from jobs.attempt where job_id = $1 order by run
