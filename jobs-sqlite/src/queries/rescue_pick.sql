-- The first ?2 runs that worker ?1 still owns.
select j.id, j.run, j.attempt, j.lost, j.queue, j.kind
  from jobs_claim c cross join json_each(c.jobs) x
 cross join jobs_job j on j.id = unhex(x.value ->> 0) and j.run = x.value ->> 1 and j.state = 'waiting'
 where c.worker = ?1
 limit ?2
