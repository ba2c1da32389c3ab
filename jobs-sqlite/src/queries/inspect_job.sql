-- The jobs ?1 (ids), newest first; `waits`: it has its ticket.
select j.id, j.kind, j.args, j.queue, j.priority, j.state, j.reason, j.attempt, j.lost, j.run, j.options,
       j.created_at, j.due_at, j.started_at, j.finished_at, j.worker, j.result, j.rules,
       exists (select 1 from jobs_ticket t
                where t.queue = j.queue and t.priority = j.priority and t.run_at = j.due_at
                  and t.job_id = j.id and t.run = j.run)
       or exists (select 1 from jobs_blocked b where b.job_id = j.id) as waits,
       (select b.limit_name from jobs_blocked b where b.job_id = j.id and b.ready = 1) as limited_by
  from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
 order by j.id desc
