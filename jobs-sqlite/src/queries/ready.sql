-- Those of the jobs ?1 (ids) that wait for nobody any more wait for their time; not before now, ?2.
update jobs_job set state = 'waiting', due_at = max(due_at, ?2)
 where id in (select unhex(value) from json_each(?1)) and state = 'awaiting' and pending = 0
   and not exists (
       select 1 from jobs_batch b
        where b.id = unhex(jobs_job.rules ->> '$.batch', '-') and b.sealed_at is null)
returning id, queue
