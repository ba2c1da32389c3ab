-- What an operator made of jobs: ?1 of [job, run, state, due_at, fresh, finished_at, reason, worker].
-- `fresh`: its counters start again. What is null stays, save the end.
update jobs_job
   set state = x.state, pending = iif(jobs_job.pending is null, null, 0), run = jobs_job.run + 1,
       due_at = coalesce(x.due_at, jobs_job.due_at),
       attempt = iif(x.fresh, 0, jobs_job.attempt), lost = iif(x.fresh, 0, jobs_job.lost),
       started_at = iif(x.fresh, null, jobs_job.started_at),
       result = iif(x.fresh, null, jobs_job.result),
       reason = iif(x.fresh, null, coalesce(x.reason, jobs_job.reason)),
       finished_at = x.finished_at, worker = coalesce(x.worker, jobs_job.worker), settled = 0
  from (select unhex(value ->> 0) as id, value ->> 1 as run, value ->> 2 as state, value ->> 3 as due_at,
               value ->> 4 as fresh, value ->> 5 as finished_at, value ->> 6 as reason,
               unhex(value ->> 7) as worker
          from json_each(?1)) x
 where jobs_job.id = x.id and jobs_job.run = x.run
