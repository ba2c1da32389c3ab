-- Takes runs back from dead worker ?2: ?1 of [job, run, state, lost, due_at, reason, finished_at].
update jobs_job
   set state = x.state, run = jobs_job.run + 1, lost = x.lost, due_at = coalesce(x.due_at, jobs_job.due_at),
       reason = coalesce(x.reason, jobs_job.reason), finished_at = x.finished_at, worker = ?2, settled = 0
  from (select unhex(value ->> 0) as id, value ->> 1 as run, value ->> 2 as state, value ->> 3 as lost,
               value ->> 4 as due_at, value ->> 5 as reason, value ->> 6 as finished_at
          from json_each(?1)) x
 where jobs_job.id = x.id and jobs_job.run = x.run and jobs_job.state = 'waiting'
