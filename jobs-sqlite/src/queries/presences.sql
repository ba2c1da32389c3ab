-- Who has registered and not retired; the dead as long as they hold claims.
select id, beat, dead_at is not null as dead
  from jobs_worker w
 where dead_at is null or exists (select 1 from jobs_claim c where c.worker = w.id)
 order by id
