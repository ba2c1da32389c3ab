-- Starts before ?1 count no more, whatever the limit.
delete from jobs_permit where started_at < ?1
