-- Makes a worker known: $1 id, $2 what it says of itself. Repeated it says what has changed; it wakes no dead.
insert into jobs.worker as w (id, info) values ($1, $2::text::json)
    on conflict (id) do update set info = excluded.info where w.dead_at is null
