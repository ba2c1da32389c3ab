-- Queues and kinds of those who are due in the line of limit ?1 and key ?2 before ?3, ?4, ?5.
select distinct queue, kind from jobs_blocked
 where limit_name = ?1 and key = ?2 and ready = 1 and (priority, run_at, job_id) < (?3, ?4, ?5)
