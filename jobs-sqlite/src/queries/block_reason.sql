-- Jobs in line fall due later, as their bodies say: ?1 of [job, due_at, reason].
update jobs_job set due_at = x.due_at, reason = x.reason
  from (select unhex(value ->> 0) as id, value ->> 1 as due_at, value ->> 2 as reason
          from json_each(?1)) x
 where jobs_job.id = x.id
