-- The jobs ?1 (ids) wait for nobody any more.
delete from jobs_dependency where child in (select unhex(value) from json_each(?1))
