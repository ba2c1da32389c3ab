-- The runs that the claims ?1 (ids) still own. They end, no attempt used; the jobs are due at ?2.
with held as materialized (
    select unhex(x.value ->> 0) as id, x.value ->> 1 as run, c.worker
      from jobs_claim c cross join json_each(c.jobs) x
     where c.id in (select unhex(value) from json_each(?1))
)
update jobs_job set run = jobs_job.run + 1, due_at = ?2, settled = 0, worker = held.worker
  from held
 where jobs_job.id = held.id and jobs_job.run = held.run and jobs_job.state = 'waiting'
returning id, queue
