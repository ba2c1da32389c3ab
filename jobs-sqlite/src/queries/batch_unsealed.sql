-- The first batch that has been incomplete since ?1, and is not in one that is incomplete itself.
select id, parent from jobs_batch b
 where sealed_at is null and created_at <= ?1
   and not exists (select 1 from jobs_batch around where around.id = b.parent and around.sealed_at is null)
 order by created_at limit 1
