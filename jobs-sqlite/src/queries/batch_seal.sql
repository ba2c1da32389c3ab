-- Batch ?1 is complete at ?2; ?3: since when it is cancelled, or null.
update jobs_batch
   set sealed_at = coalesce(sealed_at, ?2), cancelled_at = coalesce(cancelled_at, ?3)
 where id = ?1
