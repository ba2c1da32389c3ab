-- What operators did to job ?1, oldest first.
select at, verb, actor, reason, from_state, to_state from jobs_event where job_id = ?1 order by seq
