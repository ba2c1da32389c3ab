-- A worker's sign of life: $1 worker, $2 claims that it holds or has asked for, $3 the newest claim id that existed
-- when it wrote that down, $4 the id below which an earlier beat has found nothing amiss. Never an upsert: a worker
-- that was declared dead must not rise again under the same id.
with me as (
    update jobs.worker set beat = beat + 1, beat_at = clock_timestamp() where id = $1 and dead_at is null returning id
)
select exists (select from me) as alive, clock_timestamp() as now,
       array(select x.id from unnest($2::uuid[]) x (id)
              where not exists (select from jobs.claim c where c.worker = $1 and c.id = x.id)) as missing,
       array(select c.id from jobs.claim c
              where c.worker = $1 and c.id >= $4 and c.id <= $3 and c.id <> all ($2::uuid[])) as unknown
