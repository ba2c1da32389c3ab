-- Makes worker ?1 known at ?3, saying ?2 of itself. Repeated it says what has changed; it does not bring
-- back the dead.
insert into jobs_worker (id, info, started_at, beat_at) values (?1, ?2, ?3, ?3)
on conflict (id) do update set info = excluded.info where dead_at is null
