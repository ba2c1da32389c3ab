-- Starts before ?1 count no more, whatever the limit; ?2 of them at most.
delete from jobs_permit
 where (limit_name, key, job_id, run) in (
       select limit_name, key, job_id, run from jobs_permit where started_at < ?1 limit ?2)
