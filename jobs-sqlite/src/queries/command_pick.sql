-- Where the jobs ?1 (ids) stand, by their places in it; `waits`: it has its ticket; `held`: its batch is not
-- complete.
select x.key, j.state, j.run, j.queue, j.kind, j.due_at,
       exists (select 1 from jobs_ticket t
                where t.queue = j.queue and t.priority = j.priority and t.run_at = j.due_at
                  and t.job_id = j.id and t.run = j.run)
       or exists (select 1 from jobs_blocked b where b.job_id = j.id) as waits,
       j.rules,
       j.rules is not null and exists (
           select 1 from jobs_batch b
            where b.id = unhex(j.rules ->> '$.batch', '-') and b.sealed_at is null) as held
  from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
