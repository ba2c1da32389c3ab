-- Batch ?1 has not ended; ?2: and is not cancelled; ?3: nor complete.
update jobs_batch
   set finished_at = null, cancelled_at = iif(?2, null, cancelled_at), sealed_at = iif(?3, null, sealed_at)
 where id = ?1
