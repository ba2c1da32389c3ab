-- The jobs ?1 (ids) are let in: due now, ?2, if they were due before.
update jobs_job set due_at = max(due_at, ?2) where id in (select unhex(value) from json_each(?1))
