-- The key of limit ?1 that was served last.
select served from jobs_limit where name = ?1
