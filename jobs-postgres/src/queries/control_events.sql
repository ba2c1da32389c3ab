-- What all workers were told, newest first, $1 at most.
select at, verb, scope, name, value, ends_at, actor, reason from jobs.control_event order by id desc limit $1
