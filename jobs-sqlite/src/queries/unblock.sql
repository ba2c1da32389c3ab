-- The jobs ?1 (ids) stand in no line.
delete from jobs_blocked where job_id in (select unhex(value) from json_each(?1))
returning limit_name, key, ready
