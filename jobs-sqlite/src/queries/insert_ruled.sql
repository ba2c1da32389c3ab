-- Jobs that may have to wait for others, without tickets, for each element of ?1:
-- [id, kind, args, queue, priority, options, keep_for, due_at, rules, pending, state, reason, finished_at].
-- ?2: now.
insert into jobs_job (id, kind, args, queue, priority, options, keep_for, due_at, rules, pending, state,
                      reason, finished_at, created_at)
select unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
       value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, ?2
  from json_each(?1)
