-- Which job worker ?1 is about to start although another worker died with it: ?2, or null.
update jobs_worker set suspect = ?2 where id = ?1 and dead_at is null
