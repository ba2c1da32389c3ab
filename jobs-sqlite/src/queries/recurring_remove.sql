-- Removes what recurs under the ids ?1.
delete from jobs_recurring where id in (select value from json_each(?1))
