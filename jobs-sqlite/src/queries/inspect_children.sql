-- As inspect_awaiting, for jobs that wait for ?9, a job or a batch.
select d.child
  from jobs_dependency d cross join jobs_job j on j.id = d.child
 where d.parent = ?9 and d.child < coalesce(?1, x'ff')
   and j.state = 'awaiting' and (?2 is null or ?2 = 'awaiting')
   and (?3 is null or j.kind = ?3)
   and (?4 is null or j.queue = ?4)
   and (?5 is null or exists (select 1 from jobs_tag g where g.tag = ?5 and g.job_id = j.id))
   and (?8 is null or exists (select 1 from jobs_member m where m.batch = ?8 and m.job_id = j.id))
 order by d.child desc
 limit ?6
