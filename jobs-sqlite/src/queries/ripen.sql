-- Who stands in line and has fallen due by ?1.
update jobs_blocked set ready = 1 where ready = 0 and run_at <= ?1
