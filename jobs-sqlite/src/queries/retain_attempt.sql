-- The attempts of the jobs ?1 (ids).
delete from jobs_attempt where job_id in (select unhex(value) from json_each(?1))
