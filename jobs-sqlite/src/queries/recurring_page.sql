-- What recurs, by id, after ?1, ?2 at most.
select id, record from jobs_recurring where id > ?1 order by id limit ?2
