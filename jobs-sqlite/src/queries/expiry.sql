-- When jobs are over if they have not been started: ?1 of [expires_at, job].
insert or ignore into jobs_expiry (expires_at, job_id)
select value ->> 0, unhex(value ->> 1) from json_each(?1)
