-- The batches ?1 (ids) themselves.
delete from jobs_batch where id in (select unhex(value) from json_each(?1))
