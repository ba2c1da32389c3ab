-- Queue ?1 stands still from ?4 on: by ?2, because ?3.
insert into jobs_queue (name, paused_by, reason, paused_at) values (?1, ?2, ?3, ?4)
on conflict (name) do update set paused_by = excluded.paused_by, reason = excluded.reason,
                                paused_at = excluded.paused_at
