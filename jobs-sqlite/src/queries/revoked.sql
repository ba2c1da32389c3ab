-- The places in ?1 (of [job, run]) of the runs that are over.
select x.key
  from json_each(?1) x left join jobs_job j on j.id = unhex(x.value ->> 0)
 where (j.run = x.value ->> 1 and j.state = 'waiting') is not true
