-- The jobs ?1 (ids) themselves.
delete from jobs_job where id in (select unhex(value) from json_each(?1))
