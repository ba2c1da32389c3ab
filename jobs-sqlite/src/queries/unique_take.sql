-- Gives keys, whose time is up if others hold them, to jobs: ?1 of [kind, key, job, expires_at].
insert into jobs_unique_key (kind, key, job_id, expires_at)
select value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3 from json_each(?1)
 where true
on conflict (kind, key) do update set job_id = excluded.job_id, expires_at = excluded.expires_at
