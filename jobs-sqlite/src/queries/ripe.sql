-- The lines that are to be looked at by ?1.
select limit_name, key from jobs_line where look_at <= ?1
union
select limit_name, key from jobs_blocked where ready = 0 and run_at <= ?1
