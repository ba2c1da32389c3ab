-- Run ?4 of job ?3 was started at ?5, and counts by that for limit ?1 and key ?2.
update jobs_permit set started_at = ?5
 where limit_name = ?1 and key = ?2 and job_id = ?3 and run = ?4 and started_at is null
