-- The lines ?1 (of [limit, key]) were looked at.
delete from jobs_line
 where (limit_name, key) in (select value ->> 0, value ->> 1 from json_each(?1))
