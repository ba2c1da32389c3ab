-- A job with its ticket (a trigger's work) for each element of ?1:
-- [id, kind, args, queue, priority, options, keep_for, due_at]. Who is stored already stays as it is.
-- ?2: now. Nobody is stored if queues have limits: that takes a closer look.
insert into jobs_job (id, kind, args, queue, priority, options, keep_for, due_at, created_at)
select unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
       value ->> 7, ?2
  from json_each(?1)
 where not exists (select 1 from jobs_limit where for_queue = 1)
on conflict (id) do nothing
