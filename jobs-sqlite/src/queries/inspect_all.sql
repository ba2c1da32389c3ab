-- The newest ?6 jobs before ?1 in state ?2, of kind ?3, in queue ?4, with tag ?5: null means any.
select j.id from jobs_job j
 where j.id < coalesce(?1, x'ff')
   and (?2 is null or j.state = ?2)
   and (?3 is null or j.kind = ?3)
   and (?4 is null or j.queue = ?4)
   and (?5 is null or exists (select 1 from jobs_tag g where g.tag = ?5 and g.job_id = j.id))
 order by j.id desc
 limit ?6
