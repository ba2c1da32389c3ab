-- What happens for every job.
--
-- These are functions so that the settings of their plans stand here: these tables grow from nothing to millions of
-- rows and back between two visits of autovacuum, so that what the planner knows of them is mostly wrong, and a plan
-- that was good for ten rows (to read all, to compare each with each) would stop everything. Every table is to be read
-- through its index, and lists are to be joined by hashing.


-- Takes due tickets and puts them into a claim, in one round trip that waits for nobody. Lanes come in the order in
-- which they are to be emptied: share (counted from 1), queue, priority, floor (run_at or null, and job_id). The first
-- row answered says what was seen of the database, and how many tickets were taken; then comes a row for each job.
create or replace function jobs.claim(p_worker uuid, p_claim uuid, p_limit int, p_unknown_kinds text[], p_wants int[],
                           p_shares int[], p_queues text[], p_priorities int2[], p_floors timestamptz[], p_floor_ids uuid[])
returns table (id uuid, kind text, args json, queue text, priority smallint, options json, rules json, attempt int, lost int, run int,
               run_at timestamptz, xmin bigint, xmax bigint, now timestamptz, paused text[], taken int, paused_kinds text[], queue_order text)
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off
as $fn$
#variable_conflict use_column
declare
    v_paused text[];
    v_kinds  text[];
    v_order  text;
    v_still  text[];
    v_limits text[] := jobs.limited_queues();
    v_free   boolean := v_limits = '{}';    -- looked at for each ticket: to compare arrays there costs a tenth of all
    v_jobs   uuid[];
    v_runs   int[];
    v_xmin   bigint;
    v_xmax   bigint;
    v_low    uuid;
    v_high   uuid;
begin
    -- A crash of the server may lose a claim: its tickets are then back. Nothing waits for the disk.
    perform set_config('synchronous_commit', 'off', true);
    select coalesce(array_agg(c.name) filter (where c.scope = 'queue'), '{}'), coalesce(array_agg(c.name) filter (where c.scope = 'kind'), '{}'),
           max(c.value) filter (where c.scope = 'order')
      into v_paused, v_kinds, v_order
      from jobs.control c where c.ends_at is null or c.ends_at > now();
    v_still := case when v_paused = '{}' then '{}' else jobs.paused_among(p_queues, v_paused) end;
    p_unknown_kinds := p_unknown_kinds || v_kinds;
    if not exists (select from jobs.worker w where w.id = p_worker and w.dead_at is null) then
        p_limit := 0;
    end if;
    -- Nested loops over unnest are lazy and keep its order: a lane is not looked at, and nothing of it locked, once the
    -- limits are reached. No sort may come between.
    with pick as materialized (
        select got.place
          from unnest(p_wants) with ordinality share (want, number)
         cross join lateral (
            select due.place
              from unnest(p_shares, p_queues, p_priorities, p_floors, p_floor_ids)
                   lane (share, queue, priority, floor_at, floor_id)
             cross join lateral (
                select t.ctid as place
                  from jobs.ticket t
                 where t.queue = lane.queue and t.priority = lane.priority
                   and (t.run_at, t.job_id) > (coalesce(lane.floor_at, '-infinity'), lane.floor_id)
                   and t.run_at <= now() and t.kind <> all (p_unknown_kinds)
                   -- What was stored while nobody had limited the queue yet, and committed since, gets in line first.
                   and (v_free or t.queue <> all (v_limits)
                        or (select p.run from jobs.permit p
                             where p.job_id = t.job_id and p.limit_name = 'queue:' || t.queue and not p.ended limit 1) is not null)
                 order by t.run_at, t.job_id
                 limit share.want
                   for update skip locked) due
             where lane.share = share.number and lane.queue <> all (v_still)
             limit share.want) got
         limit p_limit
    ), gone as (
        delete from jobs.ticket where ctid = any (array(select place from pick))
     returning job_id, run
    )
    select array_agg(g.job_id), array_agg(g.run), pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint
      into v_jobs, v_runs, v_xmin, v_xmax
      from (select job_id, run from gone order by job_id) g;
    id := null;
    xmin := v_xmin;
    xmax := v_xmax;
    now := now();
    paused := v_paused;
    paused_kinds := v_kinds;
    queue_order := v_order;
    taken := coalesce(cardinality(v_jobs), 0);
    return next;
    if v_jobs is null then
        return;
    end if;
    insert into jobs.claim (worker, id, job_ids, runs) values (p_worker, p_claim, v_jobs, v_runs);
    v_low := v_jobs[1];
    v_high := v_jobs[cardinality(v_jobs)];
    -- A ticket that was alive when it was locked proves that nobody else acts on the body. A body with another run, or
    -- none, makes the entry of the claim void.
    return query
    select j.id, j.kind, j.args, j.queue, j.priority, j.options, j.rules, j.attempt, j.lost::int, j.run, j.run_at,
           null::bigint, null::bigint, null::timestamptz, null::text[], null::int, null::text[], null::text
      from jobs.job j
      join unnest(v_jobs, v_runs) x (id, run) on x.id = j.id and x.run = j.run
     where j.id = any (v_jobs) and j.id between v_low and v_high and j.state = 0;
end
$fn$;

-- Settles runs that simply succeeded, in ascending order of their ids. Only if every claim is alive is anything
-- applied; then a run that somebody else has ended is left out, and all others are done. Waits a moment for a locked
-- job (then 55P03). p_closed are claims that have no other job left: they go if all of these were settled. Answers how
-- many were settled, and which if not all; `applied` is false if a claim was gone. What follows for jobs with rules, and for
-- children, is seen to after that, and costs others one look into an index. It is answered whether there was any, and which
-- lanes got tickets by it.
create or replace function jobs.settle_success(p_worker uuid, p_claims uuid[], p_closed uuid[], p_low uuid, p_high uuid, p_jobs uuid[],
                                    p_runs int[], p_ran float8[], p_ended float8[], p_results text[],
                                    out settled bigint, out ids uuid[], out applied boolean, out ruled boolean, out queues text[],
                                    out priorities int2[])
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off
    set lock_timeout = '100ms'
as $fn$
declare
    v_alive bigint;
    v_ruled uuid[];
begin
    perform from jobs.claim c where c.worker = p_worker and c.id = any (p_claims) order by c.id for key share;
    get diagnostics v_alive = row_count;
    applied := v_alive = cardinality(p_claims);
    if not applied then
        return;
    end if;
    with settled as (
        update jobs.job j
           set state = 2, run = j.run + 1, attempt = j.attempt + 1, worker = p_worker, settled = true, reason = null,
               result = x.result::json,
               started_at = now() - make_interval(secs => x.ended + x.ran),
               finished_at = now() - make_interval(secs => x.ended)
          from unnest(p_jobs, p_runs, p_ran, p_ended, p_results) x (id, run, ran, ended, result)
         where j.id = any (p_jobs) and j.id between p_low and p_high and j.id = x.id and j.run = x.run and j.state = 0
     returning j.id, j.queue, j.kind, x.ran, j.rules is not null as ruled
    ), stats as (
        insert into jobs.stat_delta (queue, kind, succeeded, run_millis)
        select s.queue, s.kind, count(*), coalesce(sum(s.ran * 1000), 0)::bigint from settled s group by 1, 2
    )
    select count(*), case when count(*) < cardinality(p_jobs) then array_agg(s.id) end, array_agg(s.id) filter (where s.ruled)
      into settled, ids, v_ruled from settled s;
    -- A statement of its own, so that it sees a child whose transaction the update above had to wait for.
    ruled := v_ruled is not null or exists (select from jobs.dependency d where d.parent between p_low and p_high);
    if ruled then
        v_ruled := array(select x.id from unnest(v_ruled) x (id) order by x.id);
        select f.queues, f.priorities into queues, priorities from jobs.finished(v_ruled, coalesce(ids, p_jobs), 0, v_ruled) f;
    end if;
    if ids is null then
        delete from jobs.claim c where c.ctid = any (array(
            select k.ctid from jobs.claim k where k.worker = p_worker and k.id = any (p_closed) for update skip locked));
    end if;
end
$fn$;

-- Settles runs that ended in any way, each for itself, and waits for nobody, in ascending order of their ids. p_codes
-- says what becomes of each: 2 succeeded, 3 failed, 4 deleted, 0 waits again after an attempt, 5 snoozed, 6 released. Answers
-- which were settled, and into which lanes some went back. p_closed as above.
create or replace function jobs.settle(p_worker uuid, p_claims uuid[], p_closed uuid[], p_low uuid, p_high uuid, p_jobs uuid[],
                            p_runs int[], p_ran float8[], p_ended float8[], p_results text[], p_of_claims uuid[], p_codes int2[],
                            p_waits float8[], p_reasons text[], p_hows text[], p_errors text[],
                            out ids uuid[], out ruled boolean, out queues text[], out priorities int2[])
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off
as $fn$
declare
    v_alive  uuid[];
    v_locked uuid[];
    v_final  uuid[];                    -- of those with rules
    v_back   uuid[];
    v_ran    uuid[];
    told     record;
begin
    v_alive := array(select c.id from jobs.claim c
                      where c.worker = p_worker and c.id = any (p_claims) order by c.id for key share skip locked);
    v_locked := array(select j.id from jobs.job j
                       where j.id = any (p_jobs) and j.id between p_low and p_high and j.state = 0
                       order by j.id for no key update skip locked);
    with settled as (
        update jobs.job j
           set state = case when x.code > 4 then 0 else x.code end,
               run = j.run + 1, worker = p_worker, settled = true,
               attempt = j.attempt + (x.code <= 3)::int,
               reason = case x.code when 6 then j.reason else x.reason end,
               result = x.result::json,
               run_at = case when x.code in (2, 3, 4) then j.run_at else clock_timestamp() + make_interval(secs => x.wait) end,
               started_at = case when x.code = 6 then j.started_at else now() - make_interval(secs => x.ended + x.ran) end,
               finished_at = case when x.code in (2, 3, 4) then now() - make_interval(secs => x.ended) end
          from unnest(p_jobs, p_runs, p_ran, p_ended, p_results, p_of_claims, p_codes, p_waits, p_reasons, p_hows, p_errors)
               x (id, run, ran, ended, result, claim, code, wait, reason, how, error)
         where j.id = any (v_locked) and j.id between p_low and p_high and j.id = x.id and j.run = x.run and j.state = 0
           and x.claim = any (v_alive)
     returning j.id, j.queue, j.priority, j.run_at, j.run, j.kind, j.state, j.attempt, x.code, x.ran, x.ended, x.reason, x.how, x.error,
               j.rules is not null as ruled
    ), tickets as (
        insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
        select s.queue, s.priority, s.run_at, s.id, s.run, s.kind from settled s where s.state = 0 and not s.ruled
            on conflict (queue, priority, run_at, job_id) do update set run = excluded.run
    ), attempts as (
        insert into jobs.attempt (job_id, run, number, worker, started_at, finished_at, outcome, reason, error)
        select s.id, s.run - 1, s.attempt + (s.code = 5)::int, p_worker, now() - make_interval(secs => s.ended + s.ran),
               now() - make_interval(secs => s.ended), s.how, coalesce(s.reason, ''), s.error::json
          from settled s where s.how is not null
            on conflict do nothing
    ), forgotten as (
        -- A job that waits for something may snooze for ever; its last snoozes are enough.
        delete from jobs.attempt a using settled s
         where s.code = 5 and a.job_id = s.id and a.run < s.run - 200 and a.outcome = 'snoozed'
    ), failures as (
        insert into jobs.failed (job_id) select s.id from settled s where s.state = 3 on conflict do nothing
    ), stats as (
        insert into jobs.stat_delta (queue, kind, succeeded, failed, deleted, retried, run_millis)
        select s.queue, s.kind, count(*) filter (where s.code = 2), count(*) filter (where s.code = 3), count(*) filter (where s.code = 4),
               count(*) filter (where s.code = 0), coalesce(sum(s.ran * 1000), 0)::bigint
          from settled s where s.code <= 4 group by 1, 2
    )
    select coalesce(array_agg(s.id), '{}'),
           coalesce(array_agg(s.queue) filter (where s.state = 0 and not s.ruled), '{}'),
           coalesce(array_agg(s.priority) filter (where s.state = 0 and not s.ruled), '{}'),
           coalesce(array_agg(s.id order by s.id) filter (where s.state <> 0 and s.ruled), '{}'),
           coalesce(array_agg(s.id order by s.id) filter (where s.state = 0 and s.ruled), '{}'),
           coalesce(array_agg(s.id order by s.id) filter (where s.ruled and s.ran is not null), '{}')
      into ids, queues, priorities, v_final, v_back, v_ran from settled s;
    if v_back <> '{}' then
        select b.queues, b.priorities into told from jobs.back(v_back, v_ran) b;
        queues := queues || told.queues;
        priorities := priorities || told.priorities;
    end if;
    ruled := v_back <> '{}' or v_final <> '{}' or exists (select from jobs.dependency d where d.parent between p_low and p_high);
    if ruled then
        select f.queues, f.priorities into told from jobs.finished(v_final, ids, 0, v_ran) f;
        queues := queues || told.queues;
        priorities := priorities || told.priorities;
    end if;
    if cardinality(ids) = cardinality(p_jobs) then
        delete from jobs.claim c where c.ctid = any (array(
            select k.ctid from jobs.claim k where k.worker = p_worker and k.id = any (p_closed) for update skip locked));
    end if;
end
$fn$;

-- Seconds until the first job in some lanes is due, or a pause ends. The arrays are as those of `claim`.
create or replace function jobs.next_due(p_queues text[], p_priorities int2[], p_floors timestamptz[], p_floor_ids uuid[], p_unknown_kinds text[])
returns float8 language plpgsql stable
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
declare
    v_paused text[];
    v_kinds  text[];
    v_end    timestamptz;
begin
    select coalesce(array_agg(c.name) filter (where c.scope = 'queue'), '{}'), array_agg(c.name) filter (where c.scope = 'kind'), min(c.ends_at)
      into v_paused, v_kinds, v_end
      from jobs.control c where c.ends_at is null or c.ends_at > now();
    if v_paused <> '{}' then
        v_paused := jobs.paused_among(p_queues, v_paused);
    end if;
    p_unknown_kinds := p_unknown_kinds || v_kinds;
    return (
        select extract(epoch from least(min(first.run_at), v_end) - clock_timestamp())
          from unnest(p_queues, p_priorities, p_floors, p_floor_ids) lane (queue, priority, floor_at, floor_id)
         cross join lateral (
            select t.run_at from jobs.ticket t
             where t.queue = lane.queue and t.priority = lane.priority
               and (t.run_at, t.job_id) > (coalesce(lane.floor_at, '-infinity'), lane.floor_id)
               and t.kind <> all (p_unknown_kinds)
             order by t.run_at, t.job_id
             limit 1) first
         where lane.queue <> all (v_paused));
end
$fn$;

-- The lanes that tickets are in: one step of an index scan for each.
create or replace function jobs.lanes_in_use() returns table (queue text, priority smallint) language plpgsql stable
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
begin
    return query
    with recursive lane (queue, priority) as (
        (select t.queue, t.priority from jobs.ticket t order by t.queue, t.priority limit 1)
        union all
        select next.queue, next.priority
          from lane
         cross join lateral (
            select t.queue, t.priority from jobs.ticket t
             where (t.queue, t.priority) > (lane.queue, lane.priority)
             order by t.queue, t.priority limit 1) next
    )
    select lane.queue, lane.priority from lane;
end
$fn$;

-- What has become of some runs, as seen by the worker that had them: 0 it is still this run (and the claim, if one is
-- named, is there), 1 this worker has settled it, 2 it is another's or nobody's. Ids in ascending order.
create or replace function jobs.fate(p_worker uuid, p_jobs uuid[], p_runs int[], p_claims uuid[]) returns table (id uuid, run int, fate int)
language plpgsql stable
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
#variable_conflict use_column
begin
    return query
    select x.id, x.run, case when j.run = x.run and j.state = 0
                           and (x.claim is null or exists (select from jobs.claim c where c.worker = p_worker and c.id = x.claim)) then 0
                      when j.settled and j.worker = p_worker and j.run = x.run + 1 then 1
                      else 2 end
      from unnest(p_jobs, p_runs, p_claims) x (id, run, claim)
      left join (select b.id, b.run, b.state, b.settled, b.worker from jobs.job b
                  where b.id = any (p_jobs) and b.id between p_jobs[1] and p_jobs[cardinality(p_jobs)]) j on j.id = x.id;
end
$fn$;
