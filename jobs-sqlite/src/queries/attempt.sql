-- Attempts that did not succeed: ?1 of [job, run, number, started_at, finished_at, outcome, reason,
-- error]; ?2 is the worker.
insert into jobs_attempt (job_id, run, number, worker, started_at, finished_at, outcome, reason, error)
select unhex(value ->> 0), value ->> 1, value ->> 2, ?2, value ->> 3, value ->> 4, value ->> 5,
       value ->> 6, value ->> 7
  from json_each(?1)
