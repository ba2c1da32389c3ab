-- The batches ?1 (ids) are complete at ?2; ?3: since when they are cancelled, or null.
update jobs_batch
   set sealed_at = coalesce(sealed_at, ?2), cancelled_at = coalesce(cancelled_at, ?3)
 where id in (select unhex(value) from json_each(?1))
