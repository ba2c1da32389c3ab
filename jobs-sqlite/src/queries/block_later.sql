-- Jobs in line fall due later: ?1 of [job, due_at, reason].
update jobs_blocked set ready = 0, run_at = x.due_at
  from (select unhex(value ->> 0) as id, value ->> 1 as due_at from json_each(?1)) x
 where jobs_blocked.job_id = x.id
