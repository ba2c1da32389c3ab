-- Adds to the counters of minute ?2: ?1 of [queue, kind, succeeded, failed, deleted, retried, run_millis].
insert into jobs_stat_minute (minute, queue, kind, succeeded, failed, deleted, retried, run_millis)
select ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
  from json_each(?1)
 where true
on conflict (minute, queue, kind) do update
   set succeeded = succeeded + excluded.succeeded, failed = failed + excluded.failed,
       deleted = deleted + excluded.deleted, retried = retried + excluded.retried,
       run_millis = run_millis + excluded.run_millis
