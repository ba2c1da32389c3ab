-- As inspect_all, for jobs that a worker holds (?2 is not used).
select j.id
  from jobs_claim c cross join json_each(c.jobs) x
 cross join jobs_job j on j.id = unhex(x.value ->> 0) and j.run = x.value ->> 1 and j.state = 'waiting'
 where ?2 is not null
   and (?1 is null or j.id < ?1)
   and (?3 is null or j.kind = ?3)
   and (?4 is null or j.queue = ?4)
   and (?5 is null or exists (select 1 from jobs_tag g where g.tag = ?5 and g.job_id = j.id))
 order by j.id desc
 limit ?6
