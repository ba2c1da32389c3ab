-- As inspect_all, for jobs that wait for others.
select j.id from jobs_job j
 where j.state = 'awaiting' and ?2 is not null
   and j.id < coalesce(?1, x'ff')
   and (?3 is null or j.kind = ?3)
   and (?4 is null or j.queue = ?4)
   and (?5 is null or exists (select 1 from jobs_tag g where g.tag = ?5 and g.job_id = j.id))
 order by j.id desc
 limit ?6
