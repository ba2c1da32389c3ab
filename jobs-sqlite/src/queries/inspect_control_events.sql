-- What all workers were told, newest first, ?1 at most.
select at, verb, scope, name, value, ends_at, actor, reason from jobs_control_event order by seq desc limit ?1
