-- Who stands in the line of limit ?1 holds nothing of others.
delete from jobs_permit
 where started_at is null and job_id in (select job_id from jobs_blocked where limit_name = ?1)
returning limit_name, key
