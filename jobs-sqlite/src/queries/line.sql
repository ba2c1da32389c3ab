-- The first ?6 of those who are due in the line of limit ?1 and key ?2, after ?3, ?4, ?5.
select b.job_id, b.priority, b.run_at, b.queue, b.kind, j.rules
  from jobs_blocked b cross join jobs_job j on j.id = b.job_id
 where b.limit_name = ?1 and b.key = ?2 and b.ready = 1 and (b.priority, b.run_at, b.job_id) > (?3, ?4, ?5)
 order by b.priority, b.run_at, b.job_id
 limit ?6
