-- What is seen to now and then although nobody asks for it: jobs that are nowhere, and rows that count no more.

-- When somebody last did so, and how far the search for lost jobs has come: `after` is the last id it has looked at (the
-- smallest of all: it is at the end of a round), `round_at` when a round last ended. One row.
create table jobs.care (
    one       boolean primary key default true check (one),
    began_at  timestamptz not null default '-infinity',
    round_at  timestamptz not null default '-infinity',
    claims_at timestamptz not null default '-infinity',
    after     uuid not null default '00000000-0000-0000-0000-000000000000'
) with (fillfactor = 10);
insert into jobs.care default values;

-- Waiting jobs that were in no place when they were looked at. Mostly there are none.
create table jobs.missing (
    job_id  uuid primary key,
    run     int not null,
    seen_at timestamptz not null default clock_timestamp()
);

-- Starts of runs that have ended, to find those that count no more. Only sliding windows have any.
create index permit_ended on jobs.permit (limit_name, started_at) where ended;

-- Whether it is time again: p_every seconds after it was done last, by whomever; or after the database's clock was put back.
-- Never waits; of many who ask at once one is told so. The second answer is the same of what is done less often.
create or replace function jobs.begin_care(p_every float8, p_claims_every float8, out due boolean, out claims_due boolean)
language plpgsql volatile set jit = off as $fn$
declare
    v_now timestamptz := clock_timestamp();
    c     record;
begin
    select * into c from jobs.care x where x.began_at not between v_now - make_interval(secs => p_every) and v_now for update skip locked;
    due := found;
    claims_due := due and c.claims_at not between v_now - make_interval(secs => p_claims_every) and v_now;
    if due then
        update jobs.care x set began_at = v_now, claims_at = case when claims_due then v_now else x.claims_at end;
    end if;
end
$fn$;

-- Those of these jobs, in ascending order of their ids, that wait and have neither a ticket nor a place in line, and that no
-- claim names. All of it is one statement, and so sees one moment: whatever moves a job from one place to another does so in
-- one transaction, and there is no moment at which the job is in none.
create or replace function jobs.nowhere(p_jobs uuid[]) returns table (id uuid, run int) language plpgsql stable
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
#variable_conflict use_column
begin
    return query
    with held as materialized (
        select x.id, x.run from jobs.claim c cross join lateral unnest(c.job_ids, c.runs) x (id, run)
    )
    select j.id, j.run from jobs.job j
     where j.id = any (p_jobs) and j.id between p_jobs[1] and p_jobs[cardinality(p_jobs)] and j.state = 0
       and (select t.run from jobs.ticket t
             where t.queue = j.queue and t.priority = j.priority and t.run_at = j.run_at and t.job_id = j.id) is distinct from j.run
       and (select b.job_id from jobs.blocked b where b.job_id = j.id) is null
       and not exists (select from held h where h.id = j.id and h.run = j.run)
     order by j.id;
end
$fn$;

-- Looks at the next jobs that are older than p_age seconds, p_limit at most, and notes those that wait and are nowhere. Two
-- rounds begin p_round seconds apart at least. Answers how many it looked at: fewer than p_limit, and the round is over.
--
-- Nothing is indexed by the state of jobs, so that settling them touches no index: the primary key is read from one end to the
-- other, finished jobs as well. So it is done in pieces, of which each is read once a round by one process. A finished job
-- costs a look at its row, a waiting one a look for its ticket besides, and only who has none is looked for among the claims.
create or replace function jobs.look_for_lost(p_limit int, p_age float8, p_round float8, out looked bigint, out noted bigint)
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
declare
    v_now    timestamptz := clock_timestamp();
    v_before timestamptz := v_now - make_interval(secs => p_age);
    v_end    uuid := jobs.id_floor(v_before);
    v_after  uuid;
    v_last   uuid;
    v_some   uuid[];
begin
    looked := 0;
    noted := 0;
    select c.after into v_after from jobs.care c
     where c.after > '00000000-0000-0000-0000-000000000000' or c.round_at not between v_now - make_interval(secs => p_round) and v_now
       for update skip locked;
    if not found then
        return;
    end if;
    with piece as materialized (
        select j.id, j.state, j.run, j.queue, j.priority, j.run_at, j.created_at from jobs.job j
         where j.id > v_after and j.id < v_end order by j.id limit p_limit
    )
    -- A piece comes in the order of its ids.
    select count(*), (array_agg(p.id))[count(*)],
           array_agg(p.id) filter (where p.state = 0 and p.created_at < v_before and
               (select t.run from jobs.ticket t
                 where t.queue = p.queue and t.priority = p.priority and t.run_at = p.run_at and t.job_id = p.id) is distinct from p.run)
      into looked, v_last, v_some from piece p;
    if v_some is not null then
        insert into jobs.missing as m (job_id, run) select n.id, n.run from jobs.nowhere(v_some) n
            on conflict (job_id) do update set run = excluded.run, seen_at = excluded.seen_at where m.run <> excluded.run;
        get diagnostics noted = row_count;
    end if;
    if looked < p_limit then
        update jobs.care set after = default, round_at = v_now;
    else
        update jobs.care set after = v_last;
    end if;
end
$fn$;

-- Gives those of the jobs noted as missing at least p_apart seconds ago, and still so, a ticket, p_limit at most. Answers which,
-- and into which lanes they went.
--
-- Nobody runs twice by this. The bodies are locked, so that who settles, gives back, rescues, lets in or moves one has done so or
-- waits (and then finds another run). Only a claim takes no such lock, but it needs a ticket, which it turns into an entry of
-- its own in one transaction. So what is looked at after the locks were had is final: nowhere then, nowhere until this commits.
-- And the run is another one from then on: whoever should hold the job by some mistake cannot record anything for it.
create or replace function jobs.recover(p_apart float8, p_limit int, out ids uuid[], out kinds text[], out ruled boolean, out queues text[],
                             out priorities int2[])
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
declare
    v_noted  uuid[];
    v_locked uuid[];
begin
    ids := '{}';
    kinds := '{}';
    queues := '{}';
    priorities := '{}';
    ruled := false;
    v_noted := array(
        select m.job_id from jobs.missing m
         where m.seen_at <= clock_timestamp() - make_interval(secs => p_apart) order by m.job_id limit p_limit for update skip locked);
    if v_noted = '{}' then
        return;
    end if;
    -- Who is locked is in somebody's hands, who may be the one who brings him back: another time.
    v_locked := array(
        select j.id from jobs.job j
         where j.id = any (v_noted) and j.id between v_noted[1] and v_noted[cardinality(v_noted)]
         order by j.id for no key update skip locked);
    -- A statement of its own, so that it sees what those have done whom the locks had to be had from.
    ids := array(select n.id from jobs.nowhere(v_locked) n join jobs.missing m on m.job_id = n.id and m.run = n.run order by n.id);
    delete from jobs.missing m
     where m.job_id = any (v_noted)
       and (m.job_id = any (v_locked) or not exists (select from jobs.job j where j.id = m.job_id));
    if ids = '{}' then
        return;
    end if;
    with found as (
        update jobs.job j
           set run = j.run + 1, settled = false, run_at = greatest(j.run_at, clock_timestamp())
         where j.id = any (ids) and j.id between ids[1] and ids[cardinality(ids)]
     returning j.id, j.kind, j.run_at, j.rules is not null as ruled
    ), events as (
        insert into jobs.event (job_id, verb, actor, reason, from_state, to_state)
        select f.id, 'recover', 'jobs', 'it was in no queue and with no worker', 'processing',
               case when f.run_at > clock_timestamp() then 'scheduled' else 'enqueued' end
          from found f
    )
    select array_agg(f.kind order by f.id), bool_or(f.ruled) into kinds, ruled from found f;
    -- What it had of limits it gets again. Its key it keeps: nobody knows whether it was started.
    perform jobs.end_permits(ids, '{}');
    select p.queues, p.priorities into queues, priorities from jobs.place(ids) p;
end
$fn$;

-- A worker is forgotten a day after its death. Should a claim of its be committed later still, its jobs are with nobody: the
-- worker is made known again, as one that has retired, and the next rescuer gives them back. Answers how many there were. (A
-- worker that lives cannot be among them: who has no row is told so by his next beat, and is dead for himself.)
create or replace function jobs.adopt_claims() returns bigint language plpgsql volatile set jit = off as $fn$
declare
    v_now   timestamptz := clock_timestamp();
    v_found bigint;
begin
    insert into jobs.worker (id, dead_at, retired_at, info)
    select c.worker, v_now, v_now, '{}' from (select distinct k.worker from jobs.claim k) c
     where not exists (select from jobs.worker w where w.id = c.worker)
        on conflict do nothing;
    get diagnostics v_found = row_count;
    return v_found;
end
$fn$;

-- Removes keys whose period is over, starts and tokens that make no difference any more: p_limit of each at most. Answers how
-- many of the most. Each counts for nothing already, and what somebody has locked he is about to renew.
create or replace function jobs.sweep(p_limit int) returns bigint language plpgsql volatile set jit = off as $fn$
declare
    v_now  timestamptz := clock_timestamp();
    v_gone bigint;
    v_most bigint;
begin
    delete from jobs.unique_key k
     where k.ctid = any (array(
        select x.ctid from jobs.unique_key x where x.expires_at <= v_now order by x.expires_at limit p_limit for update skip locked));
    get diagnostics v_most = row_count;
    -- Of limits that are sliding windows no more as well.
    delete from jobs.permit p
     where p.ctid = any (array(
        with recursive name (name) as (
            (select x.limit_name from jobs.permit x where x.ended order by x.limit_name limit 1)
             union all
            select (select x.limit_name from jobs.permit x where x.ended and x.limit_name > name.name order by x.limit_name limit 1)
              from name where name.name is not null
        )
        select old.ctid
          from name left join jobs.limit_def l on l.name = name.name
         cross join lateral (
            select x.ctid from jobs.permit x
             where x.limit_name = name.name and x.ended and x.started_at <= v_now - make_interval(secs => coalesce(l.per, 0))
             order by x.started_at limit p_limit for update skip locked) old
         limit p_limit));
    get diagnostics v_gone = row_count;
    v_most := greatest(v_most, v_gone);
    -- No row means the same as a window that has just begun, or a full bucket.
    delete from jobs.bucket b
     where b.ctid = any (array(
        select x.ctid from jobs.bucket x left join jobs.limit_def l on l.name = x.limit_name
         where case l.kind when 2 then x.at + make_interval(secs => l.per) <= v_now
                           when 4 then jobs.tokens(x.at, x.amount, v_now, l.max, l.per, l.burst) >= l.burst
                           else true end
         limit p_limit for update of x skip locked));
    get diagnostics v_gone = row_count;
    return greatest(v_most, v_gone);
end
$fn$;
