-- Batch ?1 has not ended; ?2: and is not cancelled.
update jobs_batch set finished_at = null, cancelled_at = iif(?2, null, cancelled_at) where id = ?1
