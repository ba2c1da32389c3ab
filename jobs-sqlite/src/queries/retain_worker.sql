-- Workers that died before ?1 and hold nothing.
delete from jobs_worker
 where dead_at < ?1 and not exists (select 1 from jobs_claim c where c.worker = jobs_worker.id)
