-- Counts members: ?1 of [batch, total, succeeded, failed, deleted], more or fewer than before.
update jobs_batch
   set total = jobs_batch.total + x.total, succeeded = jobs_batch.succeeded + x.succeeded,
       failed = jobs_batch.failed + x.failed, deleted = jobs_batch.deleted + x.deleted
  from (select unhex(value ->> 0) as id, value ->> 1 as total, value ->> 2 as succeeded,
               value ->> 3 as failed, value ->> 4 as deleted
          from json_each(?1)) x
 where jobs_batch.id = x.id
