-- Workers that live, and those that died or retired within a day and still (or again) hold claims.
select w.id, w.beat, w.dead_at is not null as dead
  from jobs.worker w
 where w.dead_at is null or exists (select from jobs.claim c where c.worker = w.id)
