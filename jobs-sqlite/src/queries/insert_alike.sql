-- As `insert`, for jobs that differ in nothing but their ids and arguments: ?1 has the ids, 16 bytes each, ?9 the
-- arguments, ?2: now, ?3: kind, ?4: queue, ?5: priority, ?6: options, ?7: keep_for, ?8: due_at.
insert into jobs_job (id, kind, args, queue, priority, options, keep_for, due_at, created_at)
select substr(?1, 16 * key + 1, 16), ?3, value, ?4, ?5, ?6, ?7, ?8, ?2
  from json_each(?9)
 where not exists (select 1 from jobs_limit where for_queue = 1)
on conflict (id) do nothing
