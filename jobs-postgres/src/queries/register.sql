-- Makes a worker known: $1 id, $2 what it says of itself. Repeated it changes nothing, and above all wakes no dead.
insert into jobs.worker (id, info) values ($1, $2::text::json)
    on conflict (id) do nothing
