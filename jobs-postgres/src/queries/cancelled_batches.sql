-- Batches that were cancelled and whose members may not all be deleted: who began that may have died. $1 how many.
select id, cancelled_by, cancelled_for from jobs.batch
 where cancelled_at < now() - interval '5 s' and finished_at is null
 order by cancelled_at limit $1
