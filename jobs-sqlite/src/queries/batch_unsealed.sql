-- The first batch that has been incomplete since ?1.
select id from jobs_batch where sealed_at is null and created_at <= ?1 order by created_at limit 1
