-- Settles runs that simply succeeded, each claim's whole or nothing: $1 worker, $2 how many claims, $3 the claims,
-- $4 ids in ascending order, $5 runs, $6 seconds that each ran, $7 seconds since each ended, $8 results, $9 the smallest id,
-- $10 the greatest, $11 claims that are done with this. Only if every claim is alive is anything applied; then a
-- run that somebody else has ended is left out, and all others are done. Waits 100 ms for a locked job at most (55P03):
-- `settle` is then used, which waits for nobody.
with alive as materialized (
    select id from jobs.claim
     where worker = $1 and id = any ($3::uuid[]) and (select set_config('lock_timeout', '100ms', true)) is not null
     order by id for key share
), settled as (
    update jobs.job j
       set state = 2, run = j.run + 1, attempt = j.attempt + 1, worker = $1, settled = true, reason = null, result = x.result::json,
           started_at = now() - make_interval(secs => x.ended + x.ran),
           finished_at = now() - make_interval(secs => x.ended)
      from unnest($4::uuid[], $5::int[], $6::float8[], $7::float8[], $8::text[]) x (id, run, ran, ended, result)
     where j.id = x.id and j.run = x.run and j.state = 0 and j.id between $9 and $10
       and (select count(*) from alive) = $2::bigint
 returning j.id, j.queue, j.kind, x.ran
), stats as (
    insert into jobs.stat_delta (queue, kind, succeeded, run_millis)
    select queue, kind, count(*), sum(ran * 1000)::bigint from settled group by 1, 2
), closed as (
    delete from jobs.claim where (select count(*) from alive) = $2::bigint and ctid = any (array(
        select c.ctid from jobs.claim c where c.worker = $1 and c.id = any ($11::uuid[]) for update skip locked))
)
select count(*) as settled, case when count(*) < cardinality($4::uuid[]) then array_agg(id) end as ids,
       (select count(*) from alive) = $2::bigint as applied
  from settled
