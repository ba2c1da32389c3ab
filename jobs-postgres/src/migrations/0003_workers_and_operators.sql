-- What happens now and then: jobs given back and taken back, what operators do, and enqueueing from SQL.

-- Ends those of a worker's claims under which nothing is held any more. What somebody else has locked stays for the
-- next call.
create or replace function jobs.close(p_worker uuid, p_claims uuid[]) returns void language plpgsql volatile
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

-- Gives the jobs of a worker's claims back to their queues, p_limit at most: of the claims that p_claims names, or of
-- all. What somebody else has locked stays for the next call. With p_lost_limit, the worker has died: the job it
-- suspected is counted as lost, or without a suspect each but those that one more death would fail: these are not
-- started without being made the suspect first.
create or replace function jobs.give_back(p_worker uuid, p_claims uuid[], p_limit int, p_suspect uuid, p_lost_limit int, p_lost_reason text,
                               out released bigint, out failed bigint, out more boolean, out ruled boolean, out queues text[],
                               out priorities int2[])
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
declare
    held  record;
    moved record;
    told  record;
begin
    released := 0;
    failed := 0;
    ruled := false;
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
         returning j.id, j.queue, j.priority, j.run_at, j.run, j.kind, j.state, j.attempt, l.lost, j.rules is not null as ruled
        ), tickets as (
            insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
            select m.queue, m.priority, m.run_at, m.id, m.run, m.kind from moved m where m.state = 0 and not m.ruled
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
               array_agg(m.queue) filter (where m.state = 0) as queues, array_agg(m.priority) filter (where m.state = 0) as priorities,
               array(select x.id from moved x where x.ruled and x.state = 0 order by x.id) as back,
               array(select x.id from moved x where x.ruled and x.state = 3 order by x.id) as ended,
               array(select x.id from moved x where x.state = 3 order by x.id) as parents
          into moved from (select queue, priority, state, count(*) as n from moved group by 1, 2, 3) m;
        released := released + moved.released;
        failed := failed + moved.failed;
        queues := queues || moved.queues;
        priorities := priorities || moved.priorities;
        if moved.back <> '{}' then
            ruled := true;
            -- Those that are not known to have been started have used nothing up.
            select b.queues, b.priorities into told from jobs.back(moved.back, '{}') b;
            queues := queues || told.queues;
            priorities := priorities || told.priorities;
        end if;
        if moved.parents <> '{}' then
            ruled := true;
            select f.queues, f.priorities into told from jobs.finished(moved.ended, moved.parents, 0, '{}') f;
            queues := queues || told.queues;
            priorities := priorities || told.priorities;
        end if;
        perform jobs.close(p_worker, array[held.id]);
        exit when released + failed >= p_limit;
    end loop;
    more := exists (select from jobs.claim c where c.worker = p_worker and (p_claims is null or c.id = any (p_claims)));
end
$fn$;

-- Declares a worker dead, unless its beat has moved on from the one that was watched, and takes its jobs back.
create or replace function jobs.rescue(p_worker uuid, p_beat bigint, p_lost_limit int, p_lost_reason text, p_limit int,
                            out released bigint, out failed bigint, out more boolean, out ruled boolean, out queues text[],
                            out priorities int2[])
language plpgsql volatile as $fn$
declare
    w record;
begin
    select suspect, retired_at into w from jobs.worker where id = p_worker and beat = p_beat for update;
    if not found then
        released := 0;
        failed := 0;
        more := false;
        ruled := false;
        queues := '{}';
        priorities := '{}';
        return;
    end if;
    update jobs.worker set dead_at = clock_timestamp() where id = p_worker and dead_at is null;
    -- What a retired worker left behind it had not begun.
    if w.retired_at is not null then
        p_lost_limit := null;
    end if;
    select g.released, g.failed, g.more, g.ruled, g.queues, g.priorities into released, failed, more, ruled, queues, priorities
      from jobs.give_back(p_worker, null, p_limit, w.suspect, p_lost_limit, p_lost_reason) g;
end
$fn$;

-- An operator's verb on some jobs. p_wait: whether to wait for a job that somebody has locked (for 2 s, then 55P03); if
-- not, it is answered `busy`. The others are answered `done`, `wrong` (the verb does not apply to this state), `held`
-- (another job holds its unique key) or `unknown`. Rows without a job name lanes that others got tickets in, and say that
-- there may be something to let in.
create or replace function jobs.command(p_verb text, p_jobs uuid[], p_actor text, p_reason text, p_due_at timestamptz, p_due_in float8,
                             p_wait boolean)
returns table (job uuid, answer text, from_state text, to_state text, queue text, priority smallint, holder uuid)
language plpgsql volatile set jit = off as $fn$
#variable_conflict use_column
declare
    j          record;
    has_ticket boolean;
    has_line   boolean;
    v_due      boolean;
    due        timestamptz;
    v_ended    uuid[] := '{}';          -- Deleted by this, with rules: from waiting or Awaiting, and from Failed
    v_failed   uuid[] := '{}';
    v_parents  uuid[] := '{}';
    v_touched  boolean := false;
    told       record;
begin
    perform set_config('lock_timeout', '2s', true);
    select '{}'::text[] as queues, '{}'::int2[] as priorities into told;
    -- Rows of many jobs are always locked in the order of their ids.
    for job in select x.id from unnest(p_jobs) x (id) order by x.id loop
        queue := null;
        priority := null;
        from_state := null;
        to_state := null;
        holder := null;
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
        has_line := false;
        v_due := j.run_at <= clock_timestamp();
        if j.state = 0 and (p_verb in ('delete', 'reschedule') or p_verb = 'run_now' and not v_due) then
            -- The ticket is ours or a claim's. Whoever claims it now has it; then the job is Processing.
            delete from jobs.ticket t
             where t.queue = j.queue and t.priority = j.priority and t.run_at = j.run_at and t.job_id = j.id and t.run = j.run;
            has_ticket := found;
            if not has_ticket and j.rules is not null then
                delete from jobs.blocked b where b.job_id = job;
                has_line := found;
            end if;
        elsif j.state = 0 then
            -- A waiting job stays where it is, and is only looked at: who takes its ticket and puts it back stands in the way of
            -- claims meanwhile, which pass it over and remember that they have seen all until there.
            has_ticket := exists (
                select from jobs.ticket t
                 where t.queue = j.queue and t.priority = j.priority and t.run_at = j.run_at and t.job_id = j.id and t.run = j.run);
            has_line := not has_ticket and j.rules is not null and exists (select from jobs.blocked b where b.job_id = job);
        end if;
        from_state := case j.state when 0 then case when not has_ticket and not has_line then 'processing'
                                                    when not v_due then 'scheduled' else 'enqueued' end
                                   when 1 then 'awaiting' when 2 then 'succeeded' when 3 then 'failed' else 'deleted' end;
        due := null;
        if p_verb = 'delete' and from_state not in ('succeeded', 'deleted') then
            update jobs.job b
               set state = 4, run = b.run + 1, settled = false, finished_at = clock_timestamp(), pending = null,
                   reason = 'Deleted by ' || p_actor || coalesce(': ' || p_reason, '')
             where b.id = job;
            insert into jobs.stat_delta (queue, kind, deleted, left_failed) values (j.queue, j.kind, 1, (j.state = 3)::int);
            to_state := 'deleted';
            if j.state = 1 then
                delete from jobs.dependency d where d.child = job;
                delete from jobs.awaiting a where a.job_id = job;
            end if;
            v_parents := v_parents || job;
            if j.rules is not null and j.state = 3 then
                v_failed := v_failed || job;
            elsif j.rules is not null then
                v_ended := v_ended || job;
            end if;
            if from_state = 'processing' then
                perform pg_notify('jobs:jobs', 'c' || job);
            end if;
        elsif p_verb = 'requeue' and j.state in (2, 3, 4) then
            if j.rules -> 'unique' is not null then
                holder := jobs.take_key(job, j.kind, j.rules -> 'unique');
                if holder is not null then
                    answer := 'held';
                    return next;
                    continue;
                end if;
            end if;
            if j.rules ->> 'batch' is not null then
                insert into jobs.batch_delta (batch, succeeded, failed, deleted)
                values ((j.rules ->> 'batch')::uuid, -(j.state = 2)::int, -(j.state = 3)::int, -(j.state = 4)::int);
            end if;
            due := clock_timestamp();
            update jobs.job b
               set state = 0, run = b.run + 1, settled = false, attempt = 0, lost = 0, reason = null, result = null,
                   started_at = null, finished_at = null, run_at = due
             where b.id = job;
            insert into jobs.stat_delta (queue, kind, left_succeeded, left_failed, left_deleted)
            values (j.queue, j.kind, (j.state = 2)::int, (j.state = 3)::int, (j.state = 4)::int);
        elsif p_verb = 'run_now' and j.state = 1 and not jobs.is_held_back(j.rules) then
            due := clock_timestamp();
            delete from jobs.dependency d where d.child = job;
            delete from jobs.awaiting a where a.job_id = job;
            update jobs.job b set state = 0, pending = null, run = b.run + 1, settled = false, run_at = due where b.id = job;
        elsif p_verb = 'run_now' and from_state = 'scheduled'
           or p_verb = 'reschedule' and from_state in ('scheduled', 'enqueued') then
            due := case when p_verb = 'run_now' then clock_timestamp()
                        else greatest(coalesce(p_due_at, clock_timestamp() + make_interval(secs => p_due_in)), clock_timestamp()) end;
            update jobs.job b set run = b.run + 1, settled = false, run_at = due where b.id = job;
        end if;
        if due is not null and j.rules is not null then
            if has_ticket then
                -- It was let in for nothing.
                perform jobs.end_permits(array[job], '{}');
            end if;
            if p_verb = 'requeue' and jobs.is_held_back(j.rules) then
                update jobs.job b set state = 1, pending = 0 where b.id = job;
                insert into jobs.awaiting (job_id) values (job);
                to_state := 'awaiting';
            else
                perform jobs.place(array[job]);
                to_state := case when due > clock_timestamp() then 'scheduled' else 'enqueued' end;
            end if;
            queue := j.queue;
            priority := j.priority;
        elsif due is not null then
            insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
            values (j.queue, j.priority, due, job, j.run + 1, j.kind)
                on conflict (queue, priority, run_at, job_id) do update set run = excluded.run;
            insert into jobs.lane (queue, priority) select j.queue, j.priority
             where not exists (select from jobs.lane k where k.queue = j.queue and k.priority = j.priority);
            to_state := case when due > clock_timestamp() then 'scheduled' else 'enqueued' end;
            queue := j.queue;
            priority := j.priority;
        elsif (has_ticket or has_line) and to_state is null and p_verb = 'run_now' then
            -- It is due already.
            to_state := from_state;
        end if;
        v_touched := v_touched or to_state is not null and j.rules is not null;
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
    if v_failed <> '{}' then
        perform jobs.let_go(v_failed, 3, '{}');
    end if;
    if v_ended <> '{}' or exists (select from jobs.dependency d where d.parent = any (v_parents)) then
        select f.queues, f.priorities into told from jobs.finished(v_ended, v_parents, 0, '{}') f;
        v_touched := true;
    end if;
    if v_touched then
        job := null;
        answer := 'more';
        from_state := null;
        to_state := null;
        queue := null;
        priority := null;
        return next;
        return query select null::uuid, 'more', null::text, null::text, l.queue, l.priority, null::uuid
          from unnest(told.queues, told.priorities) l (queue, priority);
    end if;
end
$fn$;

-- Enqueues a job, for triggers and for other languages. Answers its id; wakes workers when the transaction commits.
create or replace function jobs.enqueue(kind text, args json default '{}', queue text default 'default', priority int default 0,
                             run_at timestamptz default null) returns uuid language plpgsql volatile as $fn$
declare
    v_id     uuid := jobs.new_id();
    v_queues text[] := jobs.limited_queues();
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
    elsif run_at = 'infinity' then
        raise exception 'a job cannot be due at %: it would never be', run_at
            using errcode = 'invalid_parameter_value';
    elsif priority is null or priority not between -32768 and 32767 then
        raise exception 'a priority is a number from -32768 to 32767'
            using errcode = 'invalid_parameter_value';
    end if;
    insert into jobs.job (id, run_at, priority, kind, queue, args)
    values (v_id, v_run_at, enqueue.priority, enqueue.kind, enqueue.queue, enqueue.args);
    if enqueue.queue = any (v_queues) then
        perform jobs.line_up(array[v_id]);
        perform pg_notify('jobs:jobs', 'u');
        return v_id;
    end if;
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

-- Which of these queues are paused by these patterns.
create or replace function jobs.paused_among(p_queues text[], p_patterns text[]) returns text[] language sql immutable as $fn$
    select array(select q.name from (select distinct unnest(p_queues)) q (name)
                  where exists (select from unnest(p_patterns) p (name)
                                 where p.name = q.name or (right(p.name, 1) = '*' and starts_with(q.name, left(p.name, -1)))))
$fn$;

-- Tells all workers something: see `control`. A pattern of queues resumes all that it includes.
create or replace function jobs.control(p_verb text, p_scope text, p_name text, p_value text, p_ends_at timestamptz, p_ends_in float8,
                             p_actor text, p_reason text)
returns void language plpgsql volatile as $fn$
declare
    v_ends_at timestamptz := coalesce(p_ends_at, clock_timestamp() + make_interval(secs => p_ends_in));
begin
    if p_verb = 'pause' or p_value is not null then
        insert into jobs.control as c (scope, name, value, actor, reason, ends_at)
        values (p_scope, p_name, p_value, p_actor, p_reason, v_ends_at)
            on conflict (scope, name) do update
               set value = excluded.value, actor = excluded.actor, reason = excluded.reason, since = excluded.since,
                   ends_at = excluded.ends_at;
    else
        delete from jobs.control c
         where c.scope = p_scope
           and (c.name = p_name or (right(p_name, 1) = '*' and starts_with(c.name, left(p_name, -1))));
    end if;
    insert into jobs.control_event (verb, scope, name, value, ends_at, actor, reason)
    values (p_verb, p_scope, p_name, p_value, v_ends_at, p_actor, p_reason);
end
$fn$;
