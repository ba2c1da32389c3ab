-- Who holds the jobs ?1 (ids, in lower case): its place, the run held, and the worker.
select w.key, x.value ->> 1 as run, c.worker
  from jobs_claim c cross join json_each(c.jobs) x
 cross join json_each(?1) w on w.value = x.value ->> 0
