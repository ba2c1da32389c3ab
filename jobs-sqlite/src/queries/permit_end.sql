-- These are free: ?1 of [limit, key, job, run].
delete from jobs_permit
 where (limit_name, key, job_id, run) in (
       select value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3 from json_each(?1))
