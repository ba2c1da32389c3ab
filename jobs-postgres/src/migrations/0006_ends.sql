-- What follows when jobs become ready, and when they end.

-- Gives jobs that wait, and have neither ticket nor line, their place. Ids in ascending order; their bodies are locked by
-- the caller. Answers the lanes that got tickets.
create or replace function jobs.place(p_jobs uuid[], out queues text[], out priorities int2[]) language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
declare
    v_low     uuid := p_jobs[1];
    v_high    uuid := p_jobs[cardinality(p_jobs)];
    v_queues  text[] := jobs.limited_queues();
    v_limited uuid[];
begin
    v_limited := array(
        select j.id from jobs.job j
         where j.id = any (p_jobs) and j.id between v_low and v_high and j.state = 0
           and (j.rules -> 'limits' is not null or j.queue = any (v_queues)));
    with placed as (
        insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
        select j.queue, j.priority, j.run_at, j.id, j.run, j.kind from jobs.job j
         where j.id = any (p_jobs) and j.id between v_low and v_high and j.state = 0
           and j.rules -> 'limits' is null and j.queue <> all (v_queues)
            on conflict (queue, priority, run_at, job_id) do update set run = excluded.run
     returning ticket.queue, ticket.priority
    ), lanes as (
        select distinct p.queue, p.priority from placed p
    ), announced as (
        insert into jobs.lane (queue, priority) select l.queue, l.priority from lanes l
         where not exists (select from jobs.lane k
                            where k.queue = l.queue and k.priority = l.priority and k.at > now() - interval '12 hours')
    )
    select coalesce(array_agg(l.queue), '{}'), coalesce(array_agg(l.priority), '{}') into queues, priorities from lanes l;
    if v_limited <> '{}' then
        perform jobs.line_up(v_limited);
    end if;
end
$fn$;

-- Puts jobs into the line of the first of their limits. If that of their queue was taken away since the caller saw it, they wait
-- for it all the same (or they would be nowhere), and `admit` lets them go on.
create or replace function jobs.line_up(p_jobs uuid[]) returns void language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off set enable_nestloop = on as $fn$
declare
    v_jobs uuid[] := array(select x.id from unnest(p_jobs) x (id) order by x.id);
    v_low  uuid := v_jobs[1];
    v_high uuid := v_jobs[cardinality(v_jobs)];
begin
    -- A job without rules of its own is marked, so that its end is looked at.
    update jobs.job j set rules = '{}' where j.id = any (v_jobs) and j.id between v_low and v_high and j.rules is null;
    insert into jobs.blocked (job_id, limit_name, key, priority, run_at, queue, ready)
    select j.id, coalesce(l.name, 'queue:' || j.queue), coalesce(l.key, ''), j.priority, j.run_at, j.queue, j.run_at <= clock_timestamp()
      from jobs.job j
      left join lateral (select name, key from jobs.limits_of(j.queue, j.rules) limit 1) l on true
     where j.id = any (v_jobs) and j.id between v_low and v_high
        on conflict (job_id) do nothing;
end
$fn$;

-- Ends what runs of these jobs have of their limits. p_ran: those that were started; their starts go on counting.
create or replace function jobs.end_permits(p_jobs uuid[], p_ran uuid[]) returns void language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off set enable_nestloop = on as $fn$
begin
    if not exists (select from jobs.permit p where p.job_id = any (p_jobs)) then
        return;
    end if;
    perform jobs.count_start(array(select p.job_id from jobs.permit p where p.job_id = any (p_ran) and not p.ended and p.started_at is null), true);
    update jobs.permit p set ended = true
     where p.job_id = any (p_jobs) and not p.ended and p.started_at is not null
       and exists (select from jobs.limit_def l where l.name = p.limit_name and l.kind = 3);
    delete from jobs.permit p where p.job_id = any (p_jobs) and not p.ended;
end
$fn$;

-- Counts starts against limits that count them: what was held for them becomes a start, now; or, for runs that have ended and whose
-- start was not reported, at their true start.
create or replace function jobs.count_start(p_jobs uuid[], p_ended boolean) returns void language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off set enable_nestloop = on as $fn$
declare
    v_now timestamptz := clock_timestamp();
    used  record;
begin
    if p_jobs = '{}' then
        return;
    end if;
    update jobs.permit p
       set started_at = case when p_ended then least(v_now, greatest(p.admitted_at, (select j.started_at from jobs.job j where j.id = p.job_id)))
                             else v_now end
     where p.job_id = any (p_jobs) and not p.ended and p.started_at is null
       and exists (select from jobs.limit_def l where l.name = p.limit_name and l.kind in (1, 3));
    -- In this order by everybody, so that none waits for another who waits for him.
    for used in
        with gone as (
            delete from jobs.permit p
             where p.job_id = any (p_jobs) and not p.ended and p.started_at is null
               and exists (select from jobs.limit_def l where l.name = p.limit_name and l.kind in (2, 4))
         returning p.limit_name, p.key, p.weight, p.job_id, p.admitted_at
        )
        select g.limit_name, g.key, g.weight, l.kind, l.max, l.per, l.burst,
               case when p_ended then least(v_now, greatest(g.admitted_at, (select j.started_at from jobs.job j where j.id = g.job_id))) else v_now end as at
          from gone g
          join jobs.limit_def l on l.name = g.limit_name
         order by 1, 2, at
    loop
        if used.kind = 2 then
            insert into jobs.bucket as b (limit_name, key, at, amount)
            values (used.limit_name, used.key, jobs.window_start(used.at, used.per), used.weight)
                on conflict (limit_name, key) do update
               set amount = case when b.at = excluded.at then b.amount + excluded.amount when b.at > excluded.at then b.amount else excluded.amount end,
                   at = greatest(b.at, excluded.at);
        else
            insert into jobs.bucket as b (limit_name, key, at, amount)
            values (used.limit_name, used.key, used.at, used.burst - used.weight)
                on conflict (limit_name, key) do update
               set amount = jobs.tokens(b.at, b.amount, greatest(b.at, used.at), used.max, used.per, used.burst) - used.weight,
                   at = greatest(b.at, used.at);
        end if;
    end loop;
end
$fn$;

-- The start of the window that an instant is in: a multiple of its length since 1970.
create or replace function jobs.window_start(p_at timestamptz, p_per float8) returns timestamptz language sql immutable as $fn$
    select to_timestamp(floor(extract(epoch from p_at)::float8 / p_per) * p_per)
$fn$;

-- The tokens in a bucket that held p_amount at p_at.
create or replace function jobs.tokens(p_at timestamptz, p_amount float8, p_now timestamptz, p_max bigint, p_per float8, p_burst bigint)
returns float8 language sql immutable as $fn$
    select least(p_burst::float8, p_amount + greatest(extract(epoch from p_now - p_at)::float8, 0) * p_max / p_per)
$fn$;

-- What follows, but for their children, for jobs with rules that are final now: keys, batch, limits. p_was: 3 if they were
-- Failed before.
create or replace function jobs.let_go(p_jobs uuid[], p_was int, p_ran uuid[]) returns void language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
begin
    delete from jobs.unique_key u where u.job_id = any (p_jobs) and u.until <> 2;
    delete from jobs.expiry e where e.job_id = any (p_jobs);
    perform jobs.end_permits(p_jobs, p_ran);
    insert into jobs.batch_delta (batch, succeeded, failed, deleted)
    select (j.rules ->> 'batch')::uuid, count(*) filter (where j.state = 2),
           count(*) filter (where j.state = 3) - case when p_was = 3 then count(*) else 0 end, count(*) filter (where j.state = 4)
      from jobs.job j
     where j.id = any (p_jobs) and j.id between p_jobs[1] and p_jobs[cardinality(p_jobs)] and j.rules ->> 'batch' is not null
     group by 1 order by 1;
end
$fn$;

-- Tells the children of jobs and batches that have ended. Nobody is waited for: children that somebody has locked are left,
-- and their parents noted in `todo`. Answers the children that were Deleted, and the lanes of those that are ready.
create or replace function jobs.resolve(p_parents uuid[], out deleted uuid[], out queues text[], out priorities int2[])
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
declare
    v_parents  uuid[];
    v_sides    int2[];
    v_children uuid[];
    v_first    uuid;
    v_last     uuid;
    v_locked   uuid[];
    v_batches  uuid[];
    v_unsealed uuid[] := '{}';
    v_busy     uuid[];
    v_ready    uuid[];
    v_reasons  text[];
begin
    deleted := '{}';
    queues := '{}';
    priorities := '{}';
    -- One may have very many children, of whom 5000 are looked at here: nothing may read all of them. Each parent is asked for
    -- itself therefore, and of its children only those between the first and the last of these.
    v_parents := array(
        select distinct x.id from unnest(p_parents) x (id)
         where (select true from jobs.dependency d where d.parent = x.id limit 1) order by 1);
    if v_parents = '{}' then
        return;
    end if;
    select array_agg(s.id), array_agg(s.side) into v_parents, v_sides
      from (select j.id, j.state as side from jobs.job j
             where j.id = any (v_parents) and j.id between v_parents[1] and v_parents[cardinality(v_parents)] and j.state >= 2
             union all
            select b.id, b.outcome from jobs.batch b where b.id = any (v_parents) and b.outcome is not null) s;
    v_children := array(
        select distinct c.child from unnest(v_parents, v_sides) s (id, side)
         cross join lateral (
            select d.child from jobs.dependency d
             where d.parent = s.id and jobs.verdict(d.condition, s.side) <> 0 order by d.child limit 5000) c
         order by 1 limit 5000);
    if v_children = '{}' then
        return;
    end if;
    v_first := v_children[1];
    v_last := v_children[cardinality(v_children)];
    v_locked := array(
        select j.id from jobs.job j
         where j.id = any (v_children) and j.id between v_children[1] and v_children[cardinality(v_children)] and j.state = 1
         order by j.id for no key update skip locked);
    -- A batch must not be sealed between this look at it and the end of this transaction.
    v_batches := array(
        select distinct (j.rules ->> 'batch')::uuid from jobs.job j
         where j.id = any (v_locked) and j.id between v_locked[1] and v_locked[cardinality(v_locked)] and j.rules ->> 'batch' is not null);
    if v_batches <> '{}' then
        v_unsealed := array(select b.id from jobs.batch b where b.id = any (v_batches) and b.sealed_at is null and b.cancelled_at is null for share skip locked);
        v_busy := array(
            select b.id from jobs.batch b
             where b.id = any (v_batches) and b.sealed_at is null and b.cancelled_at is null and b.id <> all (v_unsealed));
        v_locked := array(
            select j.id from jobs.job j
             where j.id = any (v_locked) and j.id between v_locked[1] and v_locked[cardinality(v_locked)]
               and not coalesce((j.rules ->> 'batch')::uuid = any (v_busy), false)
             order by j.id);
    end if;

    with gone as (
        delete from jobs.dependency d
         using unnest(v_parents, v_sides) s (id, side), unnest(v_locked) l (id)
         where d.parent = any (v_parents) and d.child between v_first and v_last
           and s.id = d.parent and l.id = d.child and jobs.verdict(d.condition, s.side) = 1
     returning d.child
    ), n as (
        select g.child, count(*) as n from gone g group by 1
    )
    update jobs.job j set pending = j.pending - n.n
      from n where j.id = any (v_locked) and j.id between v_locked[1] and v_locked[cardinality(v_locked)] and j.id = n.child;

    select coalesce(array_agg(b.child order by b.child), '{}'), array_agg(b.reason order by b.child) into deleted, v_reasons
      from (select distinct on (d.child) d.child, jobs.why_not(d.parent, s.side) as reason
              from jobs.dependency d
              join unnest(v_parents, v_sides) s (id, side) on s.id = d.parent
              join unnest(v_locked) l (id) on l.id = d.child
             where d.parent = any (v_parents) and d.child between v_first and v_last and jobs.verdict(d.condition, s.side) = 2
             order by d.child, d.place) b;
    perform jobs.give_up(deleted, v_reasons);

    v_ready := array(
        select j.id from jobs.job j
         where j.id = any (v_locked) and j.id between v_locked[1] and v_locked[cardinality(v_locked)]
           and j.state = 1 and j.pending <= 0
           and not coalesce((j.rules ->> 'batch')::uuid = any (v_unsealed), false)
         order by j.id);
    if v_ready <> '{}' then
        select r.queues, r.priorities into queues, priorities from jobs.ready(v_ready) r;
    end if;

    insert into jobs.todo (parent)
    select s.id from unnest(v_parents, v_sides) s (id, side)
     where (select true from jobs.dependency d where d.parent = s.id and jobs.verdict(d.condition, s.side) <> 0 limit 1);
end
$fn$;

-- Why a child of such a parent never runs.
create or replace function jobs.why_not(p_parent uuid, p_side smallint) returns text language sql stable as $fn$
    select case when exists (select from jobs.batch b where b.id = p_parent)
                then format('its batch %s %s', p_parent, case p_side when 2 then 'succeeded' when 3 then 'failed' else 'was cancelled' end)
                else format('its parent %s %s', p_parent, case p_side when 2 then 'succeeded' when 3 then 'failed' else 'was deleted' end) end
$fn$;

-- Awaiting jobs that will never run are Deleted. Ids in ascending order; their bodies are locked by the caller, who sees to
-- what follows from it.
create or replace function jobs.give_up(p_jobs uuid[], p_reasons text[]) returns void language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
begin
    if p_jobs = '{}' then
        return;
    end if;
    delete from jobs.dependency d where d.child = any (p_jobs);
    delete from jobs.awaiting a where a.job_id = any (p_jobs);
    with gone as (
        update jobs.job j
           set state = 4, run = j.run + 1, settled = false, pending = null, finished_at = clock_timestamp(), reason = x.reason
          from unnest(p_jobs, p_reasons) x (id, reason)
         where j.id = any (p_jobs) and j.id between p_jobs[1] and p_jobs[cardinality(p_jobs)] and j.id = x.id and j.state = 1
     returning j.queue, j.kind
    )
    insert into jobs.stat_delta (queue, kind, deleted) select g.queue, g.kind, count(*) from gone g group by 1, 2;
end
$fn$;

-- Awaiting jobs wait no more. Ids in ascending order; their bodies are locked by the caller.
create or replace function jobs.ready(p_jobs uuid[], out queues text[], out priorities int2[]) language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
begin
    delete from jobs.awaiting a where a.job_id = any (p_jobs);
    update jobs.job j set state = 0, pending = null, run_at = greatest(j.run_at, clock_timestamp())
     where j.id = any (p_jobs) and j.id between p_jobs[1] and p_jobs[cardinality(p_jobs)] and j.state = 1;
    select p.queues, p.priorities into queues, priorities from jobs.place(p_jobs) p;
end
$fn$;

-- Jobs with rules whose run has ended and that are to run again get their place. Ids in ascending order; their bodies are
-- locked by the caller. p_ran: those that were started.
create or replace function jobs.back(p_jobs uuid[], p_ran uuid[], out queues text[], out priorities int2[]) language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
begin
    delete from jobs.unique_key u where u.job_id = any (p_jobs) and u.until = 1;
    perform jobs.end_permits(p_jobs, p_ran);
    select p.queues, p.priorities into queues, priorities from jobs.place(p_jobs) p;
end
$fn$;

-- All that follows for jobs that are final now: p_ruled have rules, p_parents may have children (both in ascending order),
-- p_ran were started. Children that are Deleted by it come next, a few levels deep; the rest is left to `todo`.
create or replace function jobs.finished(p_ruled uuid[], p_parents uuid[], p_was int, p_ran uuid[], out queues text[], out priorities int2[])
language plpgsql volatile as $fn$
declare
    v_level int := 0;
    told    record;
begin
    queues := '{}';
    priorities := '{}';
    loop
        if p_ruled <> '{}' then
            perform jobs.let_go(p_ruled, p_was, p_ran);
        end if;
        if v_level = 20 then
            insert into jobs.todo (parent) select x.id from unnest(p_parents) x (id);
            return;
        end if;
        select r.deleted, r.queues, r.priorities into told from jobs.resolve(p_parents) r;
        queues := queues || told.queues;
        priorities := priorities || told.priorities;
        exit when told.deleted = '{}';
        p_ruled := told.deleted;
        p_parents := told.deleted;
        p_was := 1;
        p_ran := '{}';
        v_level := v_level + 1;
    end loop;
end
$fn$;

-- Deletes those of these jobs that nobody has started, each for its reason. Who is locked by somebody, or held by a worker, is
-- looked at again later.
create or replace function jobs.expire_unstarted(p_jobs uuid[], p_reasons text[], out deleted bigint, out queues text[], out priorities int2[])
language plpgsql volatile set jit = off
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
declare
    j       record;
    v_ended uuid[] := '{}';
begin
    for j in
        select b.* from jobs.job b where b.id = any (p_jobs) order by b.id for no key update skip locked
    loop
        if j.state > 1 or j.attempt > 0 or j.lost > 0 or j.started_at is not null then
            delete from jobs.expiry e where e.job_id = j.id;
        elsif j.state = 0 and not jobs.take_place(j.queue, j.priority, j.run_at, j.id, j.run) then
            update jobs.expiry e set expires_at = clock_timestamp() + interval '2 s' where e.job_id = j.id;
        else
            delete from jobs.dependency d where d.child = j.id;
            delete from jobs.awaiting a where a.job_id = j.id;
            update jobs.job b
               set state = 4, run = b.run + 1, settled = false, pending = null, finished_at = clock_timestamp(),
                   reason = p_reasons[array_position(p_jobs, j.id)]
             where b.id = j.id;
            insert into jobs.stat_delta (queue, kind, deleted) values (j.queue, j.kind, 1);
            v_ended := v_ended || j.id;
        end if;
    end loop;
    deleted := cardinality(v_ended);
    select f.queues, f.priorities into queues, priorities from jobs.finished(v_ended, v_ended, 1, '{}') f;
end
$fn$;

-- Works off what was left. Answers how much it looked at.
create or replace function jobs.work_off(p_limit int, out parents bigint, out queues text[], out priorities int2[])
language plpgsql volatile set jit = off as $fn$
declare
    v_parents uuid[];
begin
    with gone as (
        delete from jobs.todo where id = any (array(select t.id from jobs.todo t order by t.id limit p_limit for update skip locked))
     returning parent
    )
    select coalesce(array_agg(distinct g.parent order by g.parent), '{}') into v_parents from gone g;
    parents := cardinality(v_parents);
    select f.queues, f.priorities into queues, priorities from jobs.finished('{}', v_parents, 0, '{}') f;
end
$fn$;
