-- What all workers are told at ?1.
select scope, name, value, actor, reason, since, ends_at
  from jobs_control where ends_at is null or ends_at > ?1 order by scope, name
