-- For how many others jobs wait: fewer than before by ?1 of [job, n].
update jobs_job set pending = jobs_job.pending - x.n
  from (select unhex(value ->> 0) as id, value ->> 1 as n from json_each(?1)) x
 where jobs_job.id = x.id
