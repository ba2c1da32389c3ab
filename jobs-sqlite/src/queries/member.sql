-- Members of batches: ?1 of [batch, job].
insert or ignore into jobs_member (batch, job_id)
select unhex(value ->> 0), unhex(value ->> 1) from json_each(?1)
