-- As inspect_all, for members of batch ?8.
select m.job_id
  from jobs_member m cross join jobs_job j on j.id = m.job_id
 where m.batch = ?8 and m.job_id < coalesce(?1, x'ff')
   and (?3 is null or j.kind = ?3)
   and (?4 is null or j.queue = ?4)
   and (?5 is null or exists (select 1 from jobs_tag g where g.tag = ?5 and g.job_id = j.id))
   and (?2 is null or ?2 = case
            when j.state <> 'waiting' then j.state
            when not exists (select 1 from jobs_blocked b where b.job_id = j.id) and not exists (
                 select 1 from jobs_ticket t
                  where t.queue = j.queue and t.priority = j.priority and t.run_at = j.due_at
                    and t.job_id = j.id and t.run = j.run) then 'processing'
            when j.due_at > ?7 then 'scheduled' else 'enqueued' end)
 order by m.job_id desc
 limit ?6
