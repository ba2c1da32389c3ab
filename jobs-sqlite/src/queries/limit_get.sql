-- The limit ?1.
select declared, chosen, for_queue from jobs_limit where name = ?1
