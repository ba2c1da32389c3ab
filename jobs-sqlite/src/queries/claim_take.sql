-- Removes the tickets of lane ?1, ?2 up to and with ?3, ?4 whose kind is not among ?5: those just picked.
delete from jobs_ticket
 where queue = ?1 and priority = ?2 and (run_at, job_id) <= (?3, ?4)
   and kind not in (select value from json_each(?5))
