-- The keys of limit ?1 that somebody waits for.
select distinct key from jobs_blocked where limit_name = ?1
