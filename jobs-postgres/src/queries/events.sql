-- What operators did to a job: $1 its id.
select at, verb, actor, reason, from_state, to_state from jobs.event where job_id = $1 order by id
