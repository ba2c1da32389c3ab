-- Limits: what they allow, who uses them, and who is let in.

-- Writes down a limit: as a program declares it, or as an operator (p_actor) sets it, or no more. What operators set comes first,
-- and leaves an event. Answers whether there is such a limit now.
create or replace function jobs.write_limit(p_name text, p_declared json, p_set json, p_unset boolean, p_actor text default null,
                                 p_reason text default null)
returns boolean language plpgsql volatile as $fn$
declare
    d      record;
    n      record;
    v_rule json;
begin
    select * into d from jobs.limit_def l where l.name = p_name for update;
    if not found then
        -- There is no row yet by which to wait for somebody who writes down the other half just now.
        perform pg_advisory_xact_lock(hashtext('jobs:jobs'), 4);
        select * into d from jobs.limit_def l where l.name = p_name for update;
    end if;
    if p_actor is not null then
        insert into jobs.control_event (verb, scope, name, value, actor, reason)
        values (case when p_unset then 'reset' else 'set' end, 'limit', p_name, p_set::text, p_actor, p_reason);
    end if;
    p_declared := coalesce(p_declared, d.declared);
    p_set := case when p_unset then null else coalesce(p_set, d.set_to) end;
    v_rule := coalesce(p_set, p_declared);
    if v_rule is null then
        delete from jobs.limit_def l where l.name = p_name;
        return false;
    end if;
    insert into jobs.limit_def (name, declared, set_to, kind, max, per, burst, excess, excess_after, reason)
    select p_name, p_declared, p_set, array_position('{concurrency,fixed_window,sliding_window,token_bucket}'::text[], b.key),
           (b.value ->> 'max')::bigint, jobs.seconds(b.value -> 'per'),
           (b.value ->> 'burst')::bigint,
           case when v_rule -> 'excess' -> 'reschedule' is not null then 1 when v_rule ->> 'excess' = 'delete' then 2 else 0 end,
           jobs.seconds(v_rule -> 'excess' -> 'reschedule'),
           coalesce(v_rule ->> 'reason', format('Limit %s is reached', p_name))
      from json_each(v_rule -> 'bound') b
        on conflict (name) do update
       set declared = excluded.declared, set_to = excluded.set_to, kind = excluded.kind, max = excluded.max, per = excluded.per,
           burst = excluded.burst, excess = excluded.excess, excess_after = excluded.excess_after, reason = excluded.reason;
    -- What was counted counts in the window that it is in now; a row that lay ahead of that would count nothing until it is over.
    select l.kind, l.per into n from jobs.limit_def l where l.name = p_name;
    if d.kind <> n.kind then
        delete from jobs.bucket b where b.limit_name = p_name;
    elsif n.kind = 2 and d.per <> n.per then
        update jobs.bucket b set at = jobs.window_start(b.at, n.per) where b.limit_name = p_name;
    end if;
    return true;
end
$fn$;

-- Jobs that wait in a limited queue, but were not let in, get in line. Some at a time; answers how many.
create or replace function jobs.limit_queue(p_queue text, p_limit int) returns bigint language plpgsql volatile set jit = off
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off set enable_nestloop = on as $fn$
declare
    v_jobs  uuid[];
    v_moved uuid[];
begin
    v_jobs := array(
        select t.job_id from jobs.ticket t
         where t.queue = p_queue
           and not exists (select from jobs.permit p where p.job_id = t.job_id and p.limit_name = 'queue:' || p_queue and not p.ended)
         limit p_limit);
    if v_jobs = '{}' then
        return 0;
    end if;
    v_jobs := array(select j.id from jobs.job j where j.id = any (v_jobs) and j.state = 0 order by j.id for no key update skip locked);
    with gone as (
        delete from jobs.ticket t
         where t.ctid = any (array(
            select k.ctid from jobs.job j
              join jobs.ticket k on k.queue = j.queue and k.priority = j.priority and k.run_at = j.run_at and k.job_id = j.id and k.run = j.run
             where j.id = any (v_jobs)
               for update of k skip locked))
     returning t.job_id
    )
    select coalesce(array_agg(g.job_id order by g.job_id), '{}') into v_moved from gone g;
    -- What they had of other limits they get again.
    perform jobs.end_permits(v_moved, '{}');
    perform jobs.line_up(v_moved);
    return cardinality(v_moved);
end
$fn$;

-- Whether somebody waits in a limited queue and was not let in: what a transaction had stored before the limit was set, and
-- committed after it. Only those who were let in have tickets there otherwise, and those are few.
create or replace function jobs.is_unlined() returns boolean language plpgsql stable
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off set enable_nestloop = on
    set plan_cache_mode = force_generic_plan set jit = off as $fn$
begin
    return exists (
        select from jobs.limit_def l
          join jobs.ticket t on t.queue = substr(l.name, 7)
         where l.name >= 'queue:' and l.name < 'queue;'
           and not exists (select from jobs.permit p where p.job_id = t.job_id and p.limit_name = l.name and not p.ended));
end
$fn$;

-- Takes a limit away that nobody declares: who waits for it waits for it no more. Whom somebody has locked, and who is stored just
-- now, goes on with the next `admit`.
create or replace function jobs.unlimit(p_name text, out queues text[], out priorities int2[]) language plpgsql volatile set jit = off
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off set enable_nestloop = on as $fn$
declare
    v_jobs uuid[];
begin
    delete from jobs.permit p where p.limit_name = p_name;
    delete from jobs.bucket b where b.limit_name = p_name;
    v_jobs := array(select b.job_id from jobs.blocked b where b.limit_name = p_name order by b.job_id);
    v_jobs := array(select j.id from jobs.job j where j.id = any (v_jobs) order by j.id for no key update skip locked);
    delete from jobs.blocked b where b.job_id = any (v_jobs) and b.limit_name = p_name;
    v_jobs := array(
        select j.id from jobs.job j
         where j.id = any (v_jobs) and j.state = 0 and not exists (select from jobs.blocked b where b.job_id = j.id) order by j.id);
    update jobs.job j set run_at = greatest(j.run_at, clock_timestamp())
     where j.id = any (v_jobs) and j.id between v_jobs[1] and v_jobs[cardinality(v_jobs)];
    select p.queues, p.priorities into queues, priorities from jobs.place(v_jobs) p;
end
$fn$;

-- How much of a limit is used under a key.
create or replace function jobs.used(p_name text, p_kind smallint, p_max bigint, p_per float8, p_burst bigint, p_key text, p_now timestamptz)
returns float8 language plpgsql stable
    set enable_seqscan = off set enable_bitmapscan = off as $fn$
declare
    v_held   float8;
    v_starts float8;
begin
    if p_kind = 1 then
        return (select coalesce(sum(p.weight), 0) from jobs.permit p where p.limit_name = p_name and p.key = p_key and not p.ended);
    end if;
    select coalesce(sum(p.weight) filter (where p.started_at is null and not p.ended), 0),
           coalesce(sum(p.weight) filter (where p.started_at > p_now - make_interval(secs => p_per)), 0)
      into v_held, v_starts from jobs.permit p where p.limit_name = p_name and p.key = p_key;
    if p_kind = 3 then
        return v_held + v_starts;
    elsif p_kind = 2 then
        return v_held + coalesce((select b.amount from jobs.bucket b
                                   where b.limit_name = p_name and b.key = p_key and b.at = jobs.window_start(p_now, p_per)), 0);
    end if;
    return v_held + coalesce((select p_burst - jobs.tokens(b.at, b.amount, p_now, p_max, p_per, p_burst) from jobs.bucket b
                               where b.limit_name = p_name and b.key = p_key), 0);
end
$fn$;

-- When a limit by which nothing was free may have something free again, in seconds, as far as time alone makes room: not while all
-- of it is held by jobs that have not started.
create or replace function jobs.room_in(p_name text, p_kind smallint, p_max bigint, p_per float8, p_burst bigint, p_key text, p_now timestamptz)
returns float8 language sql stable as $fn$
    select case p_kind
        when 2 then case when h.held < p_max then extract(epoch from jobs.window_start(p_now, p_per) - p_now)::float8 + p_per end
        when 3 then extract(epoch from h.first - p_now)::float8 + p_per
        when 4 then case when h.held < p_burst then p_per / p_max end end
      from (select coalesce(sum(p.weight) filter (where p.started_at is null and not p.ended), 0) as held,
                   min(p.started_at) filter (where p.started_at > p_now - make_interval(secs => p_per)) as first
              from jobs.permit p where p.limit_name = p_name and p.key = p_key) h
$fn$;

-- Lets in who may be let in: one at a time in the whole schema, p_limit jobs at most. `busy` says that somebody else is at it,
-- who may not have seen what the caller did: ask again. `again`: in how many seconds there may be more to do.
create or replace function jobs.admit(p_limit int, out busy boolean, out admitted bigint, out again float8, out ruled boolean, out queues text[],
                           out priorities int2[])
language plpgsql volatile set jit = off
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off set enable_nestloop = on as $fn$
#variable_conflict use_column
declare
    l        record;
    v_key    text;
    v_from   text;
    v_round  int;
    v_keys   int;
    v_now    timestamptz;
    v_most   bigint;
    v_paused text[];
    v_kinds  text[];
    v_first  record;
    v_full   jsonb;                     -- keys of which all is held: most of those in whose lines many wait; an object, to be looked up in
    v_passed int;
    v_turn   int;
    v_room   float8;
    v_in     uuid[] := '{}';
    v_ended  uuid[] := '{}';
    j        record;
    told     record;
begin
    admitted := 0;
    ruled := false;
    queues := '{}';
    priorities := '{}';
    busy := not pg_try_advisory_xact_lock(hashtext('jobs:jobs'), 3);
    if busy then
        return;
    end if;
    update jobs.blocked b set ready = true
     where b.job_id = any (array(
        select k.job_id from jobs.blocked k where not k.ready and k.run_at <= clock_timestamp() order by k.run_at limit 1000 for update skip locked));
    -- What a caller's transaction has stored may name limits that nobody has written down yet.
    for j in
        with recursive name (name) as (
            (select b.limit_name from jobs.blocked b where b.ready order by b.limit_name limit 1)
             union all
            select (select b.limit_name from jobs.blocked b where b.ready and b.limit_name > name.name order by b.limit_name limit 1)
              from name where name.name is not null
        )
        select n.name, (select b.job_id from jobs.blocked b where b.ready and b.limit_name = n.name limit 1) as job
          from name n where n.name is not null and not exists (select from jobs.limit_def d where d.name = n.name)
    loop
        perform jobs.write_limit(j.name, u.rule, null, false)
           from jobs.job b cross join lateral jobs.limits_of(b.queue, b.rules) u where b.id = j.job and u.name = j.name and u.rule is not null;
        -- Or it is that of a queue and was taken away while they got in line.
        if not exists (select from jobs.limit_def d where d.name = j.name) then
            select u.queues, u.priorities into told from jobs.unlimit(j.name) u;
            queues := queues || array(select x.queue || ':' || x.priority from unnest(told.queues, told.priorities) x (queue, priority));
        end if;
    end loop;
    perform jobs.limit_queue(substr(d.name, 7), 1000) from jobs.limit_def d where d.name >= 'queue:' and d.name < 'queue;';
    select coalesce(array_agg(c.name) filter (where c.scope = 'queue'), '{}'), coalesce(array_agg(c.name) filter (where c.scope = 'kind'), '{}')
      into v_paused, v_kinds from jobs.control c where c.ends_at is null or c.ends_at > now();

    for l in
        -- As a value it is looked up for each limit; as `exists` it may be made a join that reads all who wait.
        select d.* from jobs.limit_def d where (select true from jobs.blocked b where b.ready and b.limit_name = d.name limit 1) order by d.name
    loop
        v_from := l.cursor;
        v_most := case when l.kind = 4 then l.burst else l.max end;
        v_keys := 0;
        v_passed := 0;
        v_full := '{}';
        if l.kind = 1 and l.excess = 0 then
            select coalesce(jsonb_object_agg(f.key, 1), '{}') into v_full
              from (select p.key from jobs.permit p
                     where p.limit_name = l.name and not p.ended group by p.key having sum(p.weight) >= l.max) f;
        end if;
        -- Keys in turn: from where the last time stopped, then from the beginning.
        v_round := 0;
        v_key := v_from;
        <<keys>>
        while v_keys - v_passed < 2000 and v_passed < 10000 and admitted < p_limit loop
            -- One condition for each case: with both in one, the lines before that key would be read each time.
            if v_keys = 0 then
                select b.key into v_key from jobs.blocked b
                 where b.ready and b.limit_name = l.name and b.key >= v_from order by b.key limit 1;
            else
                select b.key into v_key from jobs.blocked b
                 where b.ready and b.limit_name = l.name and b.key > v_key order by b.key limit 1;
            end if;
            if not found or v_round = 1 and v_key >= v_from then
                exit keys when v_round = 1;
                v_round := 1;
                v_keys := v_keys + 1;
                select b.key into v_key from jobs.blocked b where b.ready and b.limit_name = l.name and b.key < v_from order by b.key limit 1;
                exit keys when not found;
            end if;
            v_keys := v_keys + 1;
            if v_full ? v_key then
                v_passed := v_passed + 1;
                continue keys;
            end if;
            if l.kind = 3 then
                delete from jobs.permit p
                 where p.limit_name = l.name and p.key = v_key and p.ended and p.started_at < clock_timestamp() - make_interval(secs => l.per);
            end if;
            <<line>>
            for v_first in
                select b.job_id, b.priority, b.run_at from jobs.blocked b
                 where b.ready and b.limit_name = l.name and b.key = v_key
                   and (v_paused = '{}' or jobs.paused_among(array[b.queue], v_paused) = '{}')
                   -- Passed over here and not below: they may be more than one call looks at.
                   and (v_kinds = '{}' or (select x.kind from jobs.job x where x.id = b.job_id) <> all (v_kinds))
                 order by b.priority, b.run_at, b.job_id
                 limit 1000
            loop
                exit keys when admitted >= p_limit;
                v_now := clock_timestamp();
                select * into j from jobs.job x where x.id = v_first.job_id for no key update skip locked;
                continue line when not found;
                if j.state <> 0 then
                    delete from jobs.blocked b where b.job_id = j.id;
                    continue line;
                end if;
                v_turn := jobs.turn(j.id, j.queue, j.rules, l.name, v_key, v_first.priority, v_first.run_at);
                if v_turn = 0 then
                    -- `greatest` passes over what is null: that nothing is known must not become "at once".
                    v_room := jobs.room_in(l.name, l.kind, l.max, l.per, l.burst, v_key, v_now);
                    again := least(again, case when v_room is not null then greatest(v_room, 0) end);
                    exit line;
                elsif v_turn = 1 then
                    insert into jobs.permit (limit_name, key, job_id, run, weight)
                    select u.name, u.key, j.id, j.run, least(u.weight, case when d.kind = 4 then d.burst else d.max end)
                      from jobs.limits_of(j.queue, j.rules) u join jobs.limit_def d on d.name = u.name
                        on conflict do nothing;
                    v_in := v_in || j.id;
                    admitted := admitted + 1;
                elsif v_turn = 3 then
                    update jobs.job x set run_at = v_now + make_interval(secs => d.excess_after), reason = d.reason
                      from (select d.excess_after, d.reason from jobs.refusing(j.queue, j.rules) r join jobs.limit_def d on d.name = r.name limit 1) d
                     where x.id = j.id;
                    delete from jobs.blocked b where b.job_id = j.id;
                    perform jobs.line_up(array[j.id]);
                    ruled := true;
                elsif v_turn = 4 then
                    update jobs.job x
                       set state = 4, run = x.run + 1, settled = false, finished_at = v_now, reason = d.reason
                      from (select d.reason from jobs.refusing(j.queue, j.rules) r join jobs.limit_def d on d.name = r.name limit 1) d
                     where x.id = j.id;
                    delete from jobs.blocked b where b.job_id = j.id;
                    insert into jobs.stat_delta (queue, kind, deleted) values (j.queue, j.kind, 1);
                    v_ended := v_ended || j.id;
                    ruled := true;
                end if;
            end loop;
        end loop;
        -- Until here those who were let in stand in their line: nobody asks for that who is in a line of the same limit.
        if v_in <> '{}' then
            v_now := clock_timestamp();
            v_in := array(select x.id from unnest(v_in) x (id) order by x.id);
            delete from jobs.blocked b where b.job_id = any (v_in);
            with moved as (
                update jobs.job x set run_at = greatest(x.run_at, v_now)
                 where x.id = any (v_in) and x.id between v_in[1] and v_in[cardinality(v_in)]
             returning x.queue, x.priority, x.run_at, x.id, x.run, x.kind
            ), placed as (
                insert into jobs.ticket as t (queue, priority, run_at, job_id, run, kind)
                select m.queue, m.priority, m.run_at, m.id, m.run, m.kind from moved m
                    on conflict (queue, priority, run_at, job_id) do update set run = excluded.run
             returning t.queue || ':' || t.priority as lane
            )
            select queues || array_agg(distinct p.lane) into queues from placed p where p.lane <> all (queues);
            v_in := '{}';
        end if;
        if v_key is not null and v_key is distinct from l.cursor then
            update jobs.limit_def d set cursor = v_key where d.name = l.name;
        end if;
    end loop;

    -- Lanes were noted as `queue:priority`; the names of queues may contain colons.
    with lanes as (
        select regexp_replace(x.lane, ':[^:]*$', '') as queue, regexp_replace(x.lane, '^.*:', '')::int2 as priority from unnest(queues) x (lane)
    ), announced as (
        insert into jobs.lane (queue, priority) select l.queue, l.priority from lanes l
         where not exists (select from jobs.lane k
                            where k.queue = l.queue and k.priority = l.priority and k.at > now() - interval '12 hours')
    )
    select coalesce(array_agg(l.queue), '{}'), coalesce(array_agg(l.priority), '{}') into queues, priorities from lanes l;
    if v_ended <> '{}' then
        v_ended := array(select x.id from unnest(v_ended) x (id) order by x.id);
        select f.queues, f.priorities into told from jobs.finished(v_ended, v_ended, 1, '{}') f;
        queues := queues || told.queues;
        priorities := priorities || told.priorities;
    end if;
    v_room := (select extract(epoch from min(b.run_at) - clock_timestamp())::float8 from jobs.blocked b where not b.ready);
    again := least(again, case when v_room is not null then greatest(v_room, 0) end);
end
$fn$;

-- The limits of a job that have no room for it now, the first of them first.
create or replace function jobs.refusing(p_queue text, p_rules json) returns table (name text, key text, excess smallint) language sql stable as $fn$
    select u.name, u.key, d.excess
      from jobs.limits_of(p_queue, p_rules) u
      join jobs.limit_def d on d.name = u.name
     where jobs.used(d.name, d.kind, d.max, d.per, d.burst, u.key, clock_timestamp())
           + least(u.weight, case when d.kind = 4 then d.burst else d.max end) > case when d.kind = 4 then d.burst else d.max end + 1e-6
     order by u.place
$fn$;

-- What becomes of a job that waits in a line and whose turn it is: 0 it goes on waiting, 1 it is let in, 2 it was put into the
-- line of another of its limits, 3 it is rescheduled, 4 it is deleted.
create or replace function jobs.turn(p_job uuid, p_queue text, p_rules json, p_name text, p_key text, p_priority smallint, p_run_at timestamptz)
returns int language plpgsql volatile as $fn$
declare
    r record;
begin
    select * into r from jobs.refusing(p_queue, p_rules) limit 1;
    if found and r.excess > 0 then
        return 2 + r.excess;
    elsif found and r.name = p_name then
        return 0;
    elsif not found then
        -- It must not pass those who wait for the others.
        select u.name, u.key into r from jobs.limits_of(p_queue, p_rules) u
         where u.name <> p_name
           and exists (select from jobs.blocked b
                        where b.ready and b.limit_name = u.name and b.key = u.key
                          and (b.priority, b.run_at, b.job_id) < (p_priority, p_run_at, p_job))
         order by u.place limit 1;
        if not found then
            return 1;
        end if;
    end if;
    update jobs.blocked b set limit_name = r.name, key = r.key where b.job_id = p_job;
    return 2;
end
$fn$;

-- A worker is about to start a job. False if the run is not its any more.
create or replace function jobs.start(p_worker uuid, p_claim uuid, p_job uuid, p_run int) returns boolean language plpgsql volatile set jit = off as $fn$
begin
    if not exists (select from jobs.claim c where c.worker = p_worker and c.id = p_claim and p_job = any (c.job_ids)) then
        return false;
    end if;
    perform from jobs.job j where j.id = p_job and j.run = p_run and j.state = 0 for share;
    if not found then
        return false;
    end if;
    perform jobs.count_start(array[p_job], false);
    return true;
end
$fn$;
