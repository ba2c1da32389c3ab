-- Ends runs: ?1 of [job, run, state, attempts used, due_at, reason, result, started_at, finished_at].
-- One that is released stands as it stood before, due at another time. ?2 is the worker.
update jobs_job
   set state = x.state, run = jobs_job.run + 1, attempt = jobs_job.attempt + x.used,
       due_at = coalesce(x.due_at, jobs_job.due_at),
       reason = iif(x.released, jobs_job.reason, x.reason),
       result = x.result,
       started_at = iif(x.released, jobs_job.started_at, x.started_at),
       finished_at = x.finished_at,
       worker = ?2, settled = 1
  from (select unhex(value ->> 0) as id, value ->> 1 as run, value ->> 2 as state, value ->> 3 as used,
               value ->> 4 as due_at, value ->> 5 as reason, value ->> 6 as result,
               value ->> 7 as started_at, value ->> 8 as finished_at, value ->> 9 as released
          from json_each(?1)) x
 where jobs_job.id = x.id and jobs_job.run = x.run and jobs_job.state = 'waiting'
