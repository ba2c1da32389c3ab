-- What all workers are told now.
select scope, name, value, actor, reason, since, ends_at
  from jobs.control where ends_at is null or ends_at > now() order by scope, name
