-- The first ?3 members of batch ?1 after ?2 that are not final.
select m.job_id
  from jobs_member m cross join jobs_job j on j.id = m.job_id and j.state in ('waiting', 'awaiting')
 where m.batch = ?1 and m.job_id > ?2
 order by m.job_id limit ?3
