-- Who holds the jobs ?1 (ids, in lower case): the job, the run held, and the worker. They are looked up, not
-- joined: a list in JSON has no index, and would be read again for each job that anybody holds.
select unhex(x.value ->> 0), x.value ->> 1 as run, c.worker
  from jobs_claim c cross join json_each(c.jobs) x
 where x.value ->> 0 in (select value from json_each(?1))
