-- A ticket for each waiting job of ?1 (ids), where and when its body says, whatever its limits.
insert into jobs_ticket (queue, priority, run_at, job_id, run, kind)
select j.queue, j.priority, j.due_at, j.id, j.run, j.kind
  from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
 where j.state = 'waiting'
on conflict do update set run = excluded.run
