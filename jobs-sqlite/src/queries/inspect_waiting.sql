-- As inspect_all, for jobs with a ticket, or in line before a limit: due by ?7 if ?2 is 'enqueued', later if it
-- is 'scheduled'.
select t.job_id
  from (select job_id, run_at, kind, queue, run from jobs_ticket
        union all
        select job_id, run_at, kind, queue, null from jobs_blocked) t
 where iif(?2 = 'enqueued', t.run_at <= ?7, t.run_at > ?7)
   and (?1 is null or t.job_id < ?1)
   and (?3 is null or t.kind = ?3)
   and (?4 is null or t.queue = ?4)
   and (?5 is null or exists (select 1 from jobs_tag g where g.tag = ?5 and g.job_id = t.job_id))
   and exists (select 1 from jobs_job j
                where j.id = t.job_id and j.run = coalesce(t.run, j.run) and j.state = 'waiting')
 order by t.job_id desc
 limit ?6
