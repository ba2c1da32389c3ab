-- The runs that the claims ?1 (ids) still own. They end, no attempt used; the jobs are due at ?2.
update jobs_job set run = jobs_job.run + 1, due_at = ?2, settled = 0, worker = c.worker
  from jobs_claim c cross join json_each(c.jobs) x
 where c.id in (select unhex(value) from json_each(?1))
   and jobs_job.id = unhex(x.value ->> 0) and jobs_job.run = x.value ->> 1 and jobs_job.state = 'waiting'
returning hex(id), queue
