-- Those of the batches ?1 (ids) whose members are all final end at ?2.
update jobs_batch set finished_at = ?2
 where id in (select unhex(value) from json_each(?1)) and finished_at is null and sealed_at is not null
   and total = succeeded + failed + deleted
returning id, parent, cancelled_at, failed
