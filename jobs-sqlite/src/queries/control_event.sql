-- Keeps what workers were told: ?1 when, ?2 verb, ?3 scope, ?4 name, ?5 value, ?6 its end, ?7 who, ?8 why.
insert into jobs_control_event (at, verb, scope, name, value, ends_at, actor, reason)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
