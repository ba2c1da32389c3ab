-- Tells all workers something of scope ?1 and name ?2: ?3 value, ?4 who, ?5 why, ?6 now, ?7 when it ends.
insert into jobs_control (scope, name, value, actor, reason, since, ends_at) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
on conflict (scope, name) do update set value = excluded.value, actor = excluded.actor,
    reason = excluded.reason, since = excluded.since, ends_at = excluded.ends_at
