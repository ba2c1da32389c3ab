-- What operators did: ?1 of [job, from, to], all at ?2, by verb ?3 and actor ?4, for the reason ?5.
insert into jobs_event (job_id, at, verb, actor, reason, from_state, to_state)
select unhex(value ->> 0), ?2, ?3, ?4, ?5, value ->> 1, value ->> 2 from json_each(?1)
