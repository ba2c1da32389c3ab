-- Forgets what workers were told before ?1.
delete from jobs_control_event where at < ?1
