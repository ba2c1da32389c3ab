-- Who waits in queue ?1 stands in the line of that queue's limit, as of ?2.
insert into jobs_blocked (limit_name, key, ready, priority, run_at, job_id, queue, kind)
select 'queue:' || ?1, '', t.run_at <= ?2, t.priority, t.run_at, t.job_id, t.queue, t.kind
  from jobs_ticket t cross join jobs_job j on j.id = t.job_id and j.run = t.run and j.state = 'waiting'
 where t.queue = ?1
