-- Settles runs that ended in any way, each for itself, and waits for nobody: $1 worker, $2 claims, $3 the smallest id,
-- $4 the greatest, $5 claims that are done with this, $6 ids in ascending order, $7 runs, $8 their claims,
-- $9 what becomes of them (2 succeeded, 3 failed, 0 waits again after an attempt, 5 snoozed, 6 released),
-- $10 seconds that each ran, $11 seconds since each ended, $12 seconds to wait, $13 reasons, $14 results, $15 how the
-- attempt ended, $16 its error.
with alive as materialized (
    select id from jobs.claim where worker = $1 and id = any ($2::uuid[]) order by id for key share skip locked
), x as materialized (
    select x.*, case when x.code > 3 then 0 else x.code end as state
      from unnest($6::uuid[], $7::int[], $8::uuid[], $9::int2[], $10::float8[], $11::float8[], $12::float8[],
                  $13::text[], $14::text[], $15::text[], $16::text[])
           x (id, run, claim, code, ran, ended, wait, reason, result, how, error)
     where x.claim = any (array(select id from alive))
), locked as materialized (
    select j.id from x join jobs.job j on j.id = x.id and j.run = x.run and j.state = 0 and j.id between $3 and $4
     order by j.id for no key update of j skip locked
), settled as (
    update jobs.job j
       set state = x.state, run = j.run + 1, worker = $1, settled = true,
           attempt = j.attempt + (x.code in (0, 2, 3))::int,
           reason = case x.code when 6 then j.reason else x.reason end,
           result = x.result::json,
           run_at = case when x.state = 0 then clock_timestamp() + make_interval(secs => x.wait) else j.run_at end,
           started_at = case when x.code = 6 then j.started_at else now() - make_interval(secs => x.ended + x.ran) end,
           finished_at = case when x.state in (2, 3) then now() - make_interval(secs => x.ended) end
      from locked l join x on x.id = l.id
     where j.id = x.id and j.run = x.run and j.state = 0 and j.id between $3 and $4
 returning j.id, j.queue, j.priority, j.run_at, j.run, j.kind, j.state, j.attempt, x.code, x.ran, x.ended, x.reason, x.how, x.error
), tickets as (
    insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
    select queue, priority, run_at, id, run, kind from settled where state = 0
        on conflict (queue, priority, run_at, job_id) do update set run = excluded.run
), attempts as (
    insert into jobs.attempt (job_id, run, number, worker, started_at, finished_at, outcome, reason, error)
    select id, run - 1, attempt + (code = 5)::int, $1, now() - make_interval(secs => ended + ran),
           now() - make_interval(secs => ended), how, coalesce(reason, ''), error::json
      from settled where how is not null
        on conflict do nothing
), forgotten as (
    -- A job that waits for something may snooze for ever; its last snoozes are enough.
    delete from jobs.attempt a using settled s
     where s.code = 5 and a.job_id = s.id and a.run < s.run - 200 and a.outcome = 'snoozed'
), failures as (
    insert into jobs.failed (job_id) select id from settled where state = 3 on conflict do nothing
), stats as (
    insert into jobs.stat_delta (queue, kind, succeeded, failed, retried, run_millis)
    select queue, kind, count(*) filter (where code = 2), count(*) filter (where code = 3),
           count(*) filter (where code = 0), coalesce(sum(ran * 1000), 0)::bigint
      from settled where code <= 3 group by 1, 2
), unclosed as materialized (
    -- A job that was busy has had no answer: its claim must stay.
    select x.claim from x join jobs.job j on j.id = x.id and j.run = x.run and j.state = 0 and j.id between $3 and $4
     where x.id not in (select id from locked)
), closed as (
    delete from jobs.claim where ctid = any (array(
        select c.ctid from jobs.claim c
         where c.worker = $1 and c.id = any ($5::uuid[]) and c.id not in (select claim from unclosed) for update skip locked))
)
select coalesce(array_agg(id), '{}') as ids from settled
