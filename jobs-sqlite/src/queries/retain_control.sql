-- Forgets pauses that had ended at ?1.
delete from jobs_control where ends_at <= ?1
