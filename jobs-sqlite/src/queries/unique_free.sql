-- The keys ?1 (of [kind, key, job]) are free, if those jobs hold them.
delete from jobs_unique_key
 where (kind, key, job_id) in (
       select value ->> 0, value ->> 1, unhex(value ->> 2) from json_each(?1))
