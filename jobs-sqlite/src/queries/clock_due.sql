-- Jobs ?1 (ids), whose tickets have been taken away, are due at ?2.
update jobs_job set due_at = ?2 where id in (select unhex(value) from json_each(?1)) and state = 'waiting'
