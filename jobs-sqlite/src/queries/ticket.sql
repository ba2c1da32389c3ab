-- A ticket for each waiting job of ?1 (ids) that has no limits, where and when its body says.
insert into jobs_ticket (queue, priority, run_at, job_id, run, kind)
select j.queue, j.priority, j.due_at, j.id, j.run, j.kind
  from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
 where j.state = 'waiting'
   and (j.rules is null or coalesce(json_array_length(j.rules, '$.limits'), 0) = 0)
   and not exists (select 1 from jobs_limit l where l.name = 'queue:' || j.queue and l.for_queue = 1)
on conflict do update set run = excluded.run
