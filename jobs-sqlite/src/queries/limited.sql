-- Those of the waiting jobs ?1 (ids) that have limits.
select j.id, j.queue, j.kind, j.priority, j.due_at, j.rules
  from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
 where j.state = 'waiting'
   and (json_array_length(j.rules, '$.limits') > 0
        or exists (select 1 from jobs_limit l where l.name = 'queue:' || j.queue and l.for_queue = 1))
