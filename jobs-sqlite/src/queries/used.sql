-- How much of limit ?1 and key ?2 is in use, and the first start since ?3, from when on starts count.
select coalesce(sum(weight), 0), min(started_at)
  from jobs_permit
 where limit_name = ?1 and key = ?2 and (started_at is null or started_at >= ?3)
