-- The jobs ?1 (ids), unless they run or have ended.
select j.state, j.rules
  from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
 where j.state = 'awaiting'
    or j.state = 'waiting' and (
       exists (select 1 from jobs_blocked b where b.job_id = j.id)
       or exists (
       select 1 from jobs_ticket t
        where t.queue = j.queue and t.priority = j.priority and t.run_at = j.due_at
          and t.job_id = j.id and t.run = j.run))
