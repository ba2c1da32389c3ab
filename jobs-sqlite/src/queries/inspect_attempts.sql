-- The attempts of job ?1 that did not succeed, oldest first.
select run, number, worker, started_at, finished_at, outcome, reason, error
  from jobs_attempt where job_id = ?1 order by run
