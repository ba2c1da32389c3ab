-- When the first job in lane ?1, ?2 falls due whose kind is not among ?3.
select run_at from jobs_ticket
 where queue = ?1 and priority = ?2 and kind not in (select value from json_each(?3))
 order by run_at, job_id limit 1
