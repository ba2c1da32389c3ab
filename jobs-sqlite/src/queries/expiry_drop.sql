-- These are not looked at any more: ?1 of [expires_at, job].
delete from jobs_expiry
 where (expires_at, job_id) in (select value ->> 0, unhex(value ->> 1) from json_each(?1))
