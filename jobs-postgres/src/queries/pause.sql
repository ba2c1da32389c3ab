-- Pauses a queue: $1 name, $2 who, $3 why.
with paused as (
    insert into jobs.queue (name, paused_at, paused_by, reason) values ($1, now(), $2, $3)
        on conflict (name) do update set paused_at = excluded.paused_at, paused_by = excluded.paused_by, reason = excluded.reason
 returning name
)
select pg_notify('jobs:jobs', 'q') from paused
