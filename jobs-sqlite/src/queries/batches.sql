-- The batches ?1 (ids).
select b.id, b.parent, b.sealed_at, b.cancelled_at, b.finished_at, b.total, b.succeeded, b.failed,
       b.deleted, b.name, b.created_at
  from json_each(?1) x cross join jobs_batch b on b.id = unhex(x.value)
