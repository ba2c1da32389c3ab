-- Jobs stand in line: ?1 of [limit, key, ready, priority, run_at, job, queue, kind].
insert into jobs_blocked (limit_name, key, ready, priority, run_at, job_id, queue, kind)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, unhex(value ->> 5), value ->> 6,
       value ->> 7
  from json_each(?1)
 where true
on conflict (job_id) do update
   set limit_name = excluded.limit_name, key = excluded.key, ready = excluded.ready,
       priority = excluded.priority, run_at = excluded.run_at, queue = excluded.queue
