-- Starts before ?3 count no more for limit ?1 and key ?2.
delete from jobs_permit where limit_name = ?1 and key = ?2 and started_at < ?3
