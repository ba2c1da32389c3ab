-- The core: jobs, where they wait, who holds them, what became of them.
-- The schema's name stands here as `jobs` and is replaced when this is run; so is the channel 'jobs:jobs'.

create table jobs.schema_version (
    version    int primary key,
    applied_at timestamptz not null default now()
);

-- One row for each job, for as long as it is kept. It is written when the job is created and when a run ends; where
-- a waiting job stands is said by which of the tables below names it, so that no index covers what changes here.
--   state: 0 waiting (ticket or claim), 1 awaiting (other jobs), 2 succeeded, 3 failed, 4 deleted
--   run:   the number of the current ownership; raised by whatever ends one. A ticket or an entry of a claim with
--          another number is void.
-- Ids are UUIDv7: partitions by day are ranges of ids. A row changes once in most lives, and should find room for that on its own
-- page: then the index is not touched. At a fillfactor of 42 all of them do (at 70 a third), with a third less WAL, and the table
-- and its index together are smaller than with less room.
create table jobs.job (
    id          uuid not null,
    created_at  timestamptz not null default clock_timestamp(),
    run_at      timestamptz not null,
    started_at  timestamptz,
    finished_at timestamptz,
    run         int not null default 0,
    attempt     int not null default 0,
    lost        smallint not null default 0,
    priority    smallint not null default 0,
    state       smallint not null default 0,
    settled     boolean not null default false, -- whether the run before this one ended with an outcome, of `worker`
    worker      uuid,
    kind        text collate "C" not null,
    queue       text collate "C" not null,
    args        json not null,          -- not jsonb: the text must come back as it was given
    options     json,
    reason      text,
    result      json,
    primary key (id)
) partition by range (id);

-- The jobs that say themselves how long they are kept: few, so that this index is nearly empty. Nothing in it changes.
create index job_keep_for on jobs.job (id) where (options ->> 'keep_for') is not null;

-- What no day's partition takes: ids of skewed clocks, and every job if nobody has made room ahead.
create table jobs.job_default (like jobs.job including defaults, primary key (id)) with (fillfactor = 42);
alter table jobs.job attach partition jobs.job_default default;

-- A job that waits, now or for later. Claiming it deletes this row and touches nothing of the job.
create table jobs.ticket (
    queue    text collate "C" not null,
    priority smallint not null,
    run_at   timestamptz not null,
    job_id   uuid not null,
    run      int not null,
    kind     text collate "C" not null,
    primary key (queue, priority, run_at, job_id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.2, autovacuum_vacuum_insert_threshold = -1, vacuum_truncate = false);

-- What a worker took at once. Its id was made by the worker before it asked.
create table jobs.claim (
    worker     uuid not null,
    id         uuid not null,
    claimed_at timestamptz not null default now(),
    job_ids    uuid[] not null,         -- in ascending order
    runs       int[] not null,
    primary key (worker, id)
) with (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0,
        vacuum_truncate = false);

-- Ids do not compress; to try costs more than the row itself.
alter table jobs.claim alter column job_ids set storage external;

-- Incarnations of workers. A dead or retired one stays for a day, so that a claim of its that commits late is found.
create table jobs.worker (
    id         uuid primary key,
    beat       bigint not null default 0,
    started_at timestamptz not null default now(),
    beat_at    timestamptz not null default now(),
    dead_at    timestamptz,
    retired_at timestamptz,
    suspect    uuid,                    -- the job that it is about to run although another worker died with it
    info       json not null
) with (fillfactor = 50);

-- Attempts that did not succeed.
create table jobs.attempt (
    job_id      uuid not null,
    run         int not null,
    number      int not null,
    worker      uuid,
    started_at  timestamptz,
    finished_at timestamptz not null,
    outcome     text not null,
    reason      text not null,
    error       json,
    primary key (job_id, run)
);

-- What operators did.
create table jobs.event (
    job_id     uuid not null,
    id         bigint generated always as identity,
    at         timestamptz not null default clock_timestamp(),
    verb       text not null,
    actor      text not null,
    reason     text,
    from_state text not null,
    to_state   text not null,
    primary key (job_id, id)
);

-- The jobs that are Failed, to list them without looking at all others.
create table jobs.failed (
    job_id uuid primary key
);

-- Queues that somebody has paused. A queue without a row is not.
create table jobs.queue (
    name      text collate "C" primary key,
    paused_at timestamptz,
    paused_by text,
    reason    text
);

-- Which (queue, priority) are in use. Append-only and without a unique index: writers in long transactions must not
-- wait for each other. A writer announces a lane again when it has not done so for half a day.
create table jobs.lane (
    id       bigint generated always as identity primary key,
    queue    text collate "C" not null,
    priority smallint not null,
    at       timestamptz not null default now()
);

-- What happened, a row for each kind and flush, folded each second into the two tables below: no row is updated at
-- the rate of jobs. `left_*`: jobs that are not in that state any more (requeued, deleted, removed).
create table jobs.stat_delta (
    id             bigint generated always as identity primary key,
    at             timestamptz not null default now(),
    succeeded      int not null default 0,
    failed         int not null default 0,
    deleted        int not null default 0,
    retried        int not null default 0,
    left_succeeded int not null default 0,
    left_failed    int not null default 0,
    left_deleted   int not null default 0,
    run_millis     bigint not null default 0,
    queue          text collate "C" not null,
    kind           text collate "C" not null
) with (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
        vacuum_truncate = false);

create table jobs.stat_minute (
    minute     timestamptz not null,
    queue      text collate "C" not null,
    kind       text collate "C" not null,
    succeeded  bigint not null,
    failed     bigint not null,
    deleted    bigint not null,
    retried    bigint not null,
    run_millis bigint not null,
    primary key (minute, queue, kind)
) with (fillfactor = 70);

-- How many jobs are in each final state: one row.
create table jobs.stat_standing (
    one       boolean primary key default true check (one),
    succeeded bigint not null default 0,
    failed    bigint not null default 0,
    deleted   bigint not null default 0
) with (fillfactor = 10);
insert into jobs.stat_standing default values;

-- The smallest id of an instant.
create function jobs.id_floor(at timestamptz) returns uuid language sql immutable parallel safe as $fn$
    select (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
$fn$;

-- A new job's id: UUIDv7 with microseconds, so that jobs created in a row stay in order.
create function jobs.new_id() returns uuid language sql volatile as $fn$
    select (lpad(to_hex(us / 1000), 12, '0') || '7' || lpad(to_hex((us % 1000) * 4), 3, '0')
            || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid
      from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as us) now
$fn$;

-- Long arguments and results are compressed with lz4 where the server can (14 and later, if built with it): what pglz takes for that is
-- as much as all else that storing such a job takes.
create function jobs.compress_quickly(name text) returns void language plpgsql as $fn$
begin
    execute format('alter table jobs.%I alter column args set compression lz4, alter column result set compression lz4', name);
exception when syntax_error or feature_not_supported then
    null;
end
$fn$;
select jobs.compress_quickly('job_default');

-- Makes the partition of one day (UTC), with what has landed in the default partition of it meanwhile. Answers false
-- if there are so many of those that moving them would take long: that day then stays in the default.
create function jobs.make_day(day date) returns boolean language plpgsql set lock_timeout = '20ms' as $fn$
declare
    name text := 'job_' || to_char(day, 'YYYYMMDD');
    low  uuid := jobs.id_floor(day::timestamp at time zone 'UTC');
    high uuid := jobs.id_floor((day + 1)::timestamp at time zone 'UTC');
begin
    if to_regclass(format('jobs.%I', name)) is not null then
        return true;
    end if;
    -- Attaching needs this lock; taken before the move, so that nobody puts a stray there in between.
    lock table jobs.job_default in access exclusive mode;
    if (select count(*) from (select from jobs.job_default where id >= low and id < high limit 10001) s) > 10000 then
        return false;
    end if;
    execute format('create table jobs.%I (like jobs.job including defaults, primary key (id)) with (fillfactor = 42, '
                   'autovacuum_vacuum_scale_factor = 0.5, autovacuum_vacuum_insert_scale_factor = 0.5)', name);
    perform jobs.compress_quickly(name);
    execute format('with strays as (delete from jobs.job_default where id >= %L and id < %L returning *) '
                   'insert into jobs.%I select * from strays', low, high, name);
    execute format('alter table jobs.job attach partition jobs.%I for values from (%L) to (%L)', name, low, high);
    return true;
end
$fn$;

-- Ends those of a worker's claims under which nothing is held any more. What somebody else has locked stays for the next call.
create function jobs.close(p_worker uuid, p_claims uuid[]) returns void language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
begin
    delete from jobs.claim c where c.worker = p_worker and c.ctid = any (array(
        select k.ctid from jobs.claim k
         where k.worker = p_worker and k.id = any (p_claims) and not exists (
            select from jobs.job j
              join unnest(k.job_ids, k.runs) x (id, run) on x.id = j.id and x.run = j.run
             where j.id = any (k.job_ids) and j.id between k.job_ids[1] and k.job_ids[cardinality(k.job_ids)] and j.state = 0)
           for update skip locked));
end
$fn$;

-- Gives the jobs of a worker's claims back to their queues, p_limit at most: of the claims that p_claims names, or of all. What somebody else has locked stays for the next call. With p_lost_limit, the worker
-- has died: the job it suspected is counted as lost, or without a suspect each but those that one more death would
-- fail: these are not started without being made the suspect first.
create function jobs.give_back(p_worker uuid, p_claims uuid[], p_limit int, p_suspect uuid, p_lost_limit int, p_lost_reason text,
                               out released bigint, out failed bigint, out more boolean, out queues text[], out priorities int2[])
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
declare
    held  record;
    moved record;
begin
    released := 0;
    failed := 0;
    queues := '{}';
    priorities := '{}';
    for held in
        select c.id, c.job_ids, c.runs, c.job_ids[1] as low, c.job_ids[cardinality(c.job_ids)] as high from jobs.claim c
         where c.worker = p_worker and (p_claims is null or c.id = any (p_claims))
         order by c.id for update skip locked
    loop
        with locked as materialized (
            select j.id, j.run,
                   case when p_lost_limit is null then 0 when p_suspect is null then (j.lost = 0 or j.lost + 1 < p_lost_limit)::int else (j.id = p_suspect)::int end as lost
              from unnest(held.job_ids, held.runs) x (id, run)
              join jobs.job j on j.id = x.id and j.run = x.run and j.state = 0
             where j.id = any (held.job_ids) and j.id between held.low and held.high
             order by j.id limit p_limit - released - failed for no key update of j skip locked
        ), moved as (
            update jobs.job j
               set run = j.run + 1, settled = false, lost = j.lost + l.lost,
                   run_at = greatest(j.run_at, clock_timestamp()),
                   state = case when l.lost > 0 and j.lost + l.lost >= p_lost_limit then 3 else 0 end,
                   finished_at = case when l.lost > 0 and j.lost + l.lost >= p_lost_limit then clock_timestamp() end,
                   reason = case when l.lost > 0 and j.lost + l.lost >= p_lost_limit then p_lost_reason when l.lost > 0 then 'its worker died while running it' else j.reason end
              from locked l
             where j.id = any (array(select id from locked)) and j.id between held.low and held.high and j.id = l.id and j.run = l.run
         returning j.id, j.queue, j.priority, j.run_at, j.run, j.kind, j.state, j.attempt, l.lost
        ), tickets as (
            insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
            select m.queue, m.priority, m.run_at, m.id, m.run, m.kind from moved m where m.state = 0
                on conflict (queue, priority, run_at, job_id) do update set run = excluded.run
        ), attempts as (
            insert into jobs.attempt (job_id, run, number, worker, finished_at, outcome, reason)
            select m.id, m.run - 1, m.attempt + 1, p_worker, clock_timestamp(), 'lost',
                   case m.state when 3 then p_lost_reason else 'its worker died while running it' end
              from moved m where m.lost > 0
                on conflict do nothing
        ), failures as (
            insert into jobs.failed (job_id) select m.id from moved m where m.state = 3 on conflict do nothing
        ), stats as (
            insert into jobs.stat_delta (queue, kind, failed)
            select m.queue, m.kind, count(*) from moved m where m.state = 3 group by 1, 2
        )
        select coalesce(sum(m.n) filter (where m.state = 0), 0) as released, coalesce(sum(m.n) filter (where m.state = 3), 0) as failed,
               array_agg(m.queue) filter (where m.state = 0) as queues, array_agg(m.priority) filter (where m.state = 0) as priorities
          into moved from (select queue, priority, state, count(*) as n from moved group by 1, 2, 3) m;
        released := released + moved.released;
        failed := failed + moved.failed;
        queues := queues || moved.queues;
        priorities := priorities || moved.priorities;
        perform jobs.close(p_worker, array[held.id]);
        exit when released + failed >= p_limit;
    end loop;
    more := exists (select from jobs.claim c where c.worker = p_worker and (p_claims is null or c.id = any (p_claims)));
end
$fn$;

-- Declares a worker dead, unless its beat has moved on from the one that was watched, and takes its jobs back.
create function jobs.rescue(p_worker uuid, p_beat bigint, p_lost_limit int, p_lost_reason text, p_limit int,
                            out released bigint, out failed bigint, out more boolean, out queues text[], out priorities int2[])
language plpgsql volatile as $fn$
declare
    w record;
begin
    select suspect, retired_at into w from jobs.worker where id = p_worker and beat = p_beat for update;
    if not found then
        released := 0;
        failed := 0;
        more := false;
        queues := '{}';
        priorities := '{}';
        return;
    end if;
    update jobs.worker set dead_at = clock_timestamp() where id = p_worker and dead_at is null;
    -- What a retired worker left behind it had not begun.
    if w.retired_at is not null then
        p_lost_limit := null;
    end if;
    select g.released, g.failed, g.more, g.queues, g.priorities into released, failed, more, queues, priorities
      from jobs.give_back(p_worker, null, p_limit, w.suspect, p_lost_limit, p_lost_reason) g;
end
$fn$;

-- An operator's verb on some jobs. p_wait: whether to wait for a job that somebody has locked (for 2 s, then 55P03); if
-- not, it is answered `busy`. The others are answered `done`, `wrong` (the verb does not apply to this state) or `unknown`.
create function jobs.command(p_verb text, p_jobs uuid[], p_actor text, p_reason text, p_due_at timestamptz, p_due_in float8,
                             p_wait boolean)
returns table (job uuid, answer text, from_state text, to_state text, queue text, priority smallint)
language plpgsql volatile as $fn$
#variable_conflict use_column
declare
    j          record;
    has_ticket boolean;
    due        timestamptz;
begin
    perform set_config('lock_timeout', '2s', true);
    -- Rows of many jobs are always locked in the order of their ids.
    for job in select x.id from unnest(p_jobs) x (id) order by x.id loop
        queue := null;
        priority := null;
        from_state := null;
        to_state := null;
        if p_wait then
            select * into j from jobs.job b where b.id = job for no key update;
        else
            select * into j from jobs.job b where b.id = job for no key update skip locked;
        end if;
        if not found then
            answer := case when exists (select from jobs.job b where b.id = job) then 'busy' else 'unknown' end;
            return next;
            continue;
        end if;
        has_ticket := false;
        if j.state = 0 then
            -- The ticket is ours or a claim's. Whoever claims it now has it; then the job is Processing.
            delete from jobs.ticket t
             where t.queue = j.queue and t.priority = j.priority and t.run_at = j.run_at and t.job_id = j.id and t.run = j.run;
            has_ticket := found;
        end if;
        from_state := case j.state when 0 then case when not has_ticket then 'processing'
                                                    when j.run_at > clock_timestamp() then 'scheduled' else 'enqueued' end
                                   when 1 then 'awaiting' when 2 then 'succeeded' when 3 then 'failed' else 'deleted' end;
        due := null;
        if p_verb = 'delete' and from_state not in ('succeeded', 'deleted') then
            update jobs.job b
               set state = 4, run = b.run + 1, settled = false, finished_at = clock_timestamp(),
                   reason = 'Deleted by ' || p_actor || coalesce(': ' || p_reason, '')
             where b.id = job;
            insert into jobs.stat_delta (queue, kind, deleted, left_failed) values (j.queue, j.kind, 1, (j.state = 3)::int);
            to_state := 'deleted';
            if from_state = 'processing' then
                perform pg_notify('jobs:jobs', 'c' || job);
            end if;
        elsif p_verb = 'requeue' and j.state in (2, 3, 4) then
            due := clock_timestamp();
            update jobs.job b
               set state = 0, run = b.run + 1, settled = false, attempt = 0, lost = 0, reason = null, result = null,
                   started_at = null, finished_at = null, run_at = due
             where b.id = job;
            insert into jobs.stat_delta (queue, kind, left_succeeded, left_failed, left_deleted)
            values (j.queue, j.kind, (j.state = 2)::int, (j.state = 3)::int, (j.state = 4)::int);
        elsif p_verb = 'run_now' and from_state = 'scheduled'
           or p_verb = 'reschedule' and from_state in ('scheduled', 'enqueued') then
            due := case when p_verb = 'run_now' then clock_timestamp()
                        else greatest(coalesce(p_due_at, clock_timestamp() + make_interval(secs => p_due_in)), clock_timestamp()) end;
            update jobs.job b set run = b.run + 1, settled = false, run_at = due where b.id = job;
        end if;
        if due is not null then
            insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
            values (j.queue, j.priority, due, job, j.run + 1, j.kind)
                on conflict (queue, priority, run_at, job_id) do update set run = excluded.run;
            insert into jobs.lane (queue, priority) select j.queue, j.priority
             where not exists (select from jobs.lane k where k.queue = j.queue and k.priority = j.priority);
            to_state := case when due > clock_timestamp() then 'scheduled' else 'enqueued' end;
            queue := j.queue;
            priority := j.priority;
        elsif has_ticket and to_state is null then
            -- The verb does not apply, or has nothing to do: the ticket goes back to where it was.
            if p_verb = 'run_now' then
                to_state := from_state;
            end if;
            insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
            values (j.queue, j.priority, j.run_at, job, j.run, j.kind);
        end if;
        if j.state = 3 and to_state is not null then
            delete from jobs.failed f where f.job_id = job;
        end if;
        if to_state is null then
            answer := 'wrong';
        else
            answer := 'done';
            insert into jobs.event (job_id, verb, actor, reason, from_state, to_state)
            values (job, p_verb, p_actor, p_reason, from_state, to_state);
        end if;
        return next;
    end loop;
end
$fn$;

-- Whether a job's time is up: of a state that is kept until these instants, or by its own word.
create function jobs.is_over(state smallint, finished_at timestamptz, options json, succeeded_before timestamptz,
                             failed_before timestamptz, deleted_before timestamptz) returns boolean language sql stable as $fn$
    select state in (2, 3, 4) and finished_at <= case
        when (options ->> 'keep_for') is not null
        then now() - make_interval(secs => (options -> 'keep_for' ->> 'secs')::float8 + (options -> 'keep_for' ->> 'nanos')::float8 / 1e9)
        when state = 2 then succeeded_before when state = 3 then failed_before else deleted_before end
$fn$;

-- Empties the partition of one day of the jobs whose time is up, when that is nearly all of them: by truncating it and putting
-- the others back. Answers how many went; -1 if too many would stay. Locks that cannot be had at once: 55P03.
create function jobs.empty_day(day date, succeeded_before timestamptz, failed_before timestamptz, deleted_before timestamptz)
returns bigint language plpgsql volatile set lock_timeout = '20ms' as $fn$
declare
    leaf     text := 'job_' || to_char(day, 'YYYYMMDD');
    low      uuid := jobs.id_floor(day::timestamp at time zone 'UTC');
    high     uuid := jobs.id_floor((day + 1)::timestamp at time zone 'UTC');
    stay     uuid[];
    began    timestamptz := clock_timestamp();
    gone     bigint;
    counted  record;
begin
    if not pg_try_advisory_xact_lock(hashtext('jobs:jobs'), 2) then
        return 0;
    end if;
    -- Looked at without a lock that could be in anybody's way.
    execute format('select array_agg(id) from (select id from jobs.%I where not coalesce(jobs.is_over(state, finished_at, options, $1, $2, $3), false) limit 10001) s', leaf)
       into stay using succeeded_before, failed_before, deleted_before;
    stay := coalesce(stay, '{}');
    if cardinality(stay) > 10000 then
        return -1;
    end if;
    -- An operator who puts a finished job back writes an event; who does so just now may not be seen until the lock is had.
    create temp table jobs_counted (queue text, kind text, state smallint, n bigint) on commit drop;
    execute format('insert into jobs_counted select queue, kind, state, count(*) from jobs.%I where id <> all ($1) group by 1, 2, 3', leaf)
      using stay;
    execute format('lock table jobs.%I in access exclusive mode', leaf);
    if exists (select from jobs.event e where e.job_id >= low and e.job_id < high and e.at > began - interval '1 hour') then
        drop table jobs_counted;
        return 0;
    end if;
    select coalesce(sum(n), 0) into gone from jobs_counted;
    if gone = 0 then
        drop table jobs_counted;
        return 0;
    end if;
    execute format('create temp table jobs_staying on commit drop as select * from jobs.%I where id = any ($1)', leaf) using stay;
    execute format('truncate table jobs.%I', leaf);
    execute format('insert into jobs.%I select * from jobs_staying', leaf);
    delete from jobs.attempt a where a.job_id >= low and a.job_id < high and a.job_id <> all (stay);
    delete from jobs.event e where e.job_id >= low and e.job_id < high and e.job_id <> all (stay);
    delete from jobs.failed f where f.job_id >= low and f.job_id < high and f.job_id <> all (stay);
    insert into jobs.stat_delta (queue, kind, left_succeeded, left_failed, left_deleted)
    select queue, kind, coalesce(sum(n) filter (where state = 2), 0), coalesce(sum(n) filter (where state = 3), 0),
           coalesce(sum(n) filter (where state = 4), 0)
      from (select queue, kind, state, n from jobs_counted) c group by 1, 2;
    drop table jobs_counted;
    drop table jobs_staying;
    return gone;
end
$fn$;

-- Drops the partition of one day if nothing is in it. Answers whether it is gone.
create function jobs.drop_day(day date) returns boolean language plpgsql volatile set lock_timeout = '20ms' as $fn$
declare
    leaf  text := 'job_' || to_char(day, 'YYYYMMDD');
    found boolean;
begin
    execute format('select exists (select from jobs.%I)', leaf) into found;
    if found then
        return false;
    end if;
    -- The parent first, as everybody else does.
    lock table jobs.job in access exclusive mode;
    execute format('select exists (select from jobs.%I)', leaf) into found;
    if not found then
        execute format('drop table jobs.%I', leaf);
    end if;
    return not found;
end
$fn$;

-- Enqueues a job, for triggers and for other languages. Answers its id; wakes workers when the transaction commits.
create function jobs.enqueue(kind text, args json default '{}', queue text default 'default', priority int default 0,
                             run_at timestamptz default null) returns uuid language plpgsql volatile as $fn$
declare
    v_id     uuid := jobs.new_id();
    v_run_at timestamptz := greatest(enqueue.run_at, clock_timestamp());
begin
    if kind is null or kind !~ '^[A-Za-z0-9_.:-]{1,128}$' then
        raise exception '% cannot be the name of a kind: it must match [A-Za-z0-9_.:-]{1,128}', coalesce(quote_literal(left(kind, 80)), 'null')
            using errcode = 'invalid_parameter_value';
    elsif queue is null or queue !~ '^[a-z0-9_.:-]{1,64}$' then
        raise exception '% cannot be the name of a queue: it must match [a-z0-9_.:-]{1,64}', coalesce(quote_literal(left(queue, 80)), 'null')
            using errcode = 'invalid_parameter_value';
    elsif args is null or json_typeof(args) <> 'object' then
        raise exception 'the arguments of % must be a JSON object with a field for each', kind
            using errcode = 'invalid_parameter_value';
    elsif octet_length(args::text) > 1048576 then
        raise exception 'the arguments of % take % bytes, more than 1 MiB', kind, octet_length(args::text)
            using errcode = 'invalid_parameter_value', hint = 'store them elsewhere and enqueue where they are';
    elsif priority is null or priority not between -32768 and 32767 then
        raise exception 'a priority is a number from -32768 to 32767'
            using errcode = 'invalid_parameter_value';
    end if;
    insert into jobs.job (id, run_at, priority, kind, queue, args)
    values (v_id, v_run_at, enqueue.priority, enqueue.kind, enqueue.queue, enqueue.args);
    insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
    values (enqueue.queue, enqueue.priority, v_run_at, v_id, 0, enqueue.kind);
    insert into jobs.lane (queue, priority) select enqueue.queue, enqueue.priority
     where not exists (select from jobs.lane k where k.queue = enqueue.queue and k.priority = enqueue.priority
                          and k.at > now() - interval '12 hours');
    if v_run_at < clock_timestamp() + interval '2 s' then
        perform pg_notify('jobs:jobs', 'j' || priority || ':' || queue || '@sql');
    end if;
    return v_id;
end
$fn$;

-- The functions below are what happens for every job. They are functions so that the settings of their plans stand here: these
-- tables grow from nothing to millions of rows and back between two visits of autovacuum, so that what the planner knows of
-- them is mostly wrong, and a plan that was good for ten rows (to read all, to compare each with each) would stop everything.
-- Every table is to be read through its index, and lists are to be joined by hashing.

-- Takes due tickets and puts them into a claim, in one round trip that waits for nobody. Lanes come in the order in which they are
-- to be emptied: share (counted from 1), queue, priority, floor (run_at or null, and job_id). The first row answered says what
-- was seen of the database, and how many tickets were taken; then comes a row for each job.
create function jobs.claim(p_worker uuid, p_claim uuid, p_limit int, p_unknown_kinds text[], p_wants int[],
                           p_shares int[], p_queues text[], p_priorities int2[], p_floors timestamptz[], p_floor_ids uuid[])
returns table (id uuid, kind text, args json, queue text, priority smallint, options json, attempt int, lost int, run int,
               run_at timestamptz, xmin bigint, xmax bigint, now timestamptz, paused text[], taken int)
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off
as $fn$
#variable_conflict use_column
declare
    v_paused text[];
    v_jobs   uuid[];
    v_runs   int[];
    v_xmin   bigint;
    v_xmax   bigint;
    v_low    uuid;
    v_high   uuid;
begin
    -- A crash of the server may lose a claim: its tickets are then back. Nothing waits for the disk.
    perform set_config('synchronous_commit', 'off', true);
    v_paused := array(select q.name from jobs.queue q where q.paused_at is not null);
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
                 order by t.run_at, t.job_id
                 limit share.want
                   for update skip locked) due
             where lane.share = share.number and lane.queue <> all (v_paused)
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
    taken := coalesce(cardinality(v_jobs), 0);
    return next;
    if v_jobs is null then
        return;
    end if;
    insert into jobs.claim (worker, id, job_ids, runs) values (p_worker, p_claim, v_jobs, v_runs);
    v_low := v_jobs[1];
    v_high := v_jobs[cardinality(v_jobs)];
    -- A ticket that was alive when it was locked proves that nobody else acts on the body. A body with another run, or none,
    -- makes the entry of the claim void.
    return query
    select j.id, j.kind, j.args, j.queue, j.priority, j.options, j.attempt, j.lost::int, j.run, j.run_at,
           null::bigint, null::bigint, null::timestamptz, null::text[], null::int
      from jobs.job j
      join unnest(v_jobs, v_runs) x (id, run) on x.id = j.id and x.run = j.run
     where j.id = any (v_jobs) and j.id between v_low and v_high and j.state = 0;
end
$fn$;

-- Settles runs that simply succeeded, in ascending order of their ids. Only if every claim is alive is anything applied; then a
-- run that somebody else has ended is left out, and all others are done. Waits a moment for a locked job (then 55P03).
-- p_closed are claims that have no other job left: they go if all of these were settled. Answers how many were settled, and which if
-- not all; `applied` is false if a claim was gone.
create function jobs.settle_success(p_worker uuid, p_claims uuid[], p_closed uuid[], p_low uuid, p_high uuid, p_jobs uuid[],
                                    p_runs int[], p_ran float8[], p_ended float8[], p_results text[],
                                    out settled bigint, out ids uuid[], out applied boolean)
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off
    set lock_timeout = '100ms'
as $fn$
declare
    v_alive bigint;
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
     returning j.id, j.queue, j.kind, x.ran
    ), stats as (
        insert into jobs.stat_delta (queue, kind, succeeded, run_millis)
        select s.queue, s.kind, count(*), coalesce(sum(s.ran * 1000), 0)::bigint from settled s group by 1, 2
    )
    select count(*), case when count(*) < cardinality(p_jobs) then array_agg(s.id) end into settled, ids from settled s;
    if ids is null then
        delete from jobs.claim c where c.ctid = any (array(
            select k.ctid from jobs.claim k where k.worker = p_worker and k.id = any (p_closed) for update skip locked));
    end if;
end
$fn$;

-- Settles runs that ended in any way, each for itself, and waits for nobody, in ascending order of their ids. p_codes says what becomes
-- of each: 2 succeeded, 3 failed, 0 waits again after an attempt, 5 snoozed, 6 released. Answers which were settled,
-- and into which lanes some went back. p_closed as above.
create function jobs.settle(p_worker uuid, p_claims uuid[], p_closed uuid[], p_low uuid, p_high uuid, p_jobs uuid[],
                            p_runs int[], p_ran float8[], p_ended float8[], p_results text[], p_of_claims uuid[], p_codes int2[],
                            p_waits float8[], p_reasons text[], p_hows text[], p_errors text[],
                            out ids uuid[], out queues text[], out priorities int2[])
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off
as $fn$
declare
    v_alive  uuid[];
    v_locked uuid[];
begin
    v_alive := array(select c.id from jobs.claim c
                      where c.worker = p_worker and c.id = any (p_claims) order by c.id for key share skip locked);
    v_locked := array(select j.id from jobs.job j
                       where j.id = any (p_jobs) and j.id between p_low and p_high and j.state = 0
                       order by j.id for no key update skip locked);
    with settled as (
        update jobs.job j
           set state = case when x.code > 3 then 0 else x.code end,
               run = j.run + 1, worker = p_worker, settled = true,
               attempt = j.attempt + (x.code <= 3)::int,
               reason = case x.code when 6 then j.reason else x.reason end,
               result = x.result::json,
               run_at = case when x.code in (2, 3) then j.run_at else clock_timestamp() + make_interval(secs => x.wait) end,
               started_at = case when x.code = 6 then j.started_at else now() - make_interval(secs => x.ended + x.ran) end,
               finished_at = case when x.code in (2, 3) then now() - make_interval(secs => x.ended) end
          from unnest(p_jobs, p_runs, p_ran, p_ended, p_results, p_of_claims, p_codes, p_waits, p_reasons, p_hows, p_errors)
               x (id, run, ran, ended, result, claim, code, wait, reason, how, error)
         where j.id = any (v_locked) and j.id between p_low and p_high and j.id = x.id and j.run = x.run and j.state = 0
           and x.claim = any (v_alive)
     returning j.id, j.queue, j.priority, j.run_at, j.run, j.kind, j.state, j.attempt, x.code, x.ran, x.ended, x.reason, x.how, x.error
    ), tickets as (
        insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
        select s.queue, s.priority, s.run_at, s.id, s.run, s.kind from settled s where s.state = 0
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
        insert into jobs.stat_delta (queue, kind, succeeded, failed, retried, run_millis)
        select s.queue, s.kind, count(*) filter (where s.code = 2), count(*) filter (where s.code = 3),
               count(*) filter (where s.code = 0), coalesce(sum(s.ran * 1000), 0)::bigint
          from settled s where s.code <= 3 group by 1, 2
    )
    select coalesce(array_agg(s.id), '{}'),
           coalesce(array_agg(s.queue) filter (where s.state = 0), '{}'), coalesce(array_agg(s.priority) filter (where s.state = 0), '{}')
      into ids, queues, priorities from settled s;
    if cardinality(ids) = cardinality(p_jobs) then
        delete from jobs.claim c where c.ctid = any (array(
            select k.ctid from jobs.claim k where k.worker = p_worker and k.id = any (p_closed) for update skip locked));
    end if;
end
$fn$;

-- Seconds until the first job in some lanes is due. The arrays are as those of `claim`.
create function jobs.next_due(p_queues text[], p_priorities int2[], p_floors timestamptz[], p_floor_ids uuid[], p_unknown_kinds text[])
returns float8 language plpgsql stable
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
begin
    return (
        select extract(epoch from min(first.run_at) - clock_timestamp())
          from unnest(p_queues, p_priorities, p_floors, p_floor_ids) lane (queue, priority, floor_at, floor_id)
         cross join lateral (
            select t.run_at from jobs.ticket t
             where t.queue = lane.queue and t.priority = lane.priority
               and (t.run_at, t.job_id) > (coalesce(lane.floor_at, '-infinity'), lane.floor_id)
               and t.kind <> all (p_unknown_kinds)
             order by t.run_at, t.job_id
             limit 1) first
         where lane.queue <> all (array(select q.name from jobs.queue q where q.paused_at is not null)));
end
$fn$;

-- The lanes that tickets are in: one step of an index scan for each.
create function jobs.lanes_in_use() returns table (queue text, priority smallint) language plpgsql stable
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

-- What has become of some runs, as seen by the worker that had them: 0 it is still this run (and the claim, if one is named, is there),
-- 1 this worker has settled it, 2 it is another's or nobody's. Ids in ascending order.
create function jobs.fate(p_worker uuid, p_jobs uuid[], p_runs int[], p_claims uuid[]) returns table (id uuid, fate int)
language plpgsql stable
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
#variable_conflict use_column
begin
    return query
    select x.id, case when j.run = x.run and j.state = 0
                           and (x.claim is null or exists (select from jobs.claim c where c.worker = p_worker and c.id = x.claim)) then 0
                      when j.settled and j.worker = p_worker and j.run = x.run + 1 then 1
                      else 2 end
      from unnest(p_jobs, p_runs, p_claims) x (id, run, claim)
      left join (select b.id, b.run, b.state, b.settled, b.worker from jobs.job b
                  where b.id = any (p_jobs) and b.id between p_jobs[1] and p_jobs[cardinality(p_jobs)]) j on j.id = x.id;
end
$fn$;
