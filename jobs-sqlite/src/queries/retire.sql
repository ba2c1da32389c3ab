-- Forgets worker ?1, whose claims have ended.
delete from jobs_worker where id = ?1
