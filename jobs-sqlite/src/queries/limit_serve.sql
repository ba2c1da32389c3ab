-- Key ?2 of limit ?1 was served last.
update jobs_limit set served = ?2 where name = ?1 and served is not ?2
