-- What operators did to the jobs ?1 (ids).
delete from jobs_event where job_id in (select unhex(value) from json_each(?1))
