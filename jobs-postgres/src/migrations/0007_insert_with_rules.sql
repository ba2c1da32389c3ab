-- Storing jobs that have rules, and others beside them.

-- How a job says that its unique key is held: as `unique_key.until` has it; and for what time at the longest, if for one.
create or replace function jobs.key_until(p_until json) returns smallint language sql immutable as $fn$
    select case when p_until #>> '{}' = 'started' or p_until -> 'started_within' is not null then 1
                when p_until -> 'period' is not null then 2
                else 0 end::smallint
$fn$;
create or replace function jobs.key_time(p_until json) returns interval language sql immutable as $fn$
    select make_interval(secs => jobs.seconds(coalesce(p_until -> 'period', p_until -> 'started_within', p_until -> 'done_within')))
$fn$;

-- What the rules of a job say once it waits for the holders in the place of these parents, and takes its input from them. Where one
-- job has come to stand for two parents it is waited for once, as the stricter condition says: any end is an end as it was wanted.
-- Of two that can never both come about the first counts.
create or replace function jobs.follow(p_rules text, p_parents uuid[], p_holders uuid[]) returns text language plpgsql immutable as $fn$
declare
    v_rules  jsonb := p_rules::jsonb;
    v_once   jsonb;
    v_holder uuid;
begin
    select jsonb_agg(m.given order by m.first) into v_once
      from (select distinct on (p.of) p.given, min(p.place) over (partition by p.of) as first
              from (select g.place, coalesce(h.holder::text, g.given ->> 'job', g.given ->> 'batch') as of,
                           case when h.holder is null then g.given else jsonb_set(g.given, '{job}', to_jsonb(h.holder)) end as given
                      from jsonb_array_elements(v_rules -> 'parents') with ordinality g (given, place)
                      left join unnest(p_parents, p_holders) h (parent, holder) on h.parent = (g.given ->> 'job')::uuid) p
             order by p.of, p.given ->> 'on' = 'any', p.place) m;
    v_rules := jsonb_set(v_rules, '{parents}', v_once);
    select h.holder into v_holder from unnest(p_parents, p_holders) h (parent, holder) where h.parent = (v_rules -> 'input' ->> 'parent')::uuid;
    if found then
        v_rules := jsonb_set(v_rules, '{input,parent}', to_jsonb(v_holder));
    end if;
    return v_rules::text;
end
$fn$;

-- Stores jobs, all or none, and with p_batch a batch that they are members of. Answers, in the order of p_ids, under which id
-- the work is known and whether that job was there before; or what is wrong (`problem`, and what it is about), and then
-- nothing is stored, and the caller's transaction can go on. The lanes of tickets are answered too, and whether some are due
-- before now (`below`).
--
-- Everybody locks in this order: keys, batches, parents by id; then what is stored; then jobs that take a new one's place;
-- then, for a search for circles, the names of batches by id.
create or replace function jobs.insert_with_rules(
    p_ids uuid[], p_kinds text[], p_queues text[], p_priorities int2[], p_args text[], p_options text[], p_due_at timestamptz[],
    p_due_in float8[], p_rules text[], p_batch uuid, p_name text, p_parent uuid, p_keep_for text, p_sealed boolean,
    out ids uuid[], out existing boolean[], out problem text, out about uuid, out detail text,
    out queues text[], out priorities int2[], out now timestamptz, out below boolean)
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off set jit = off as $fn$
#variable_conflict use_column
declare
    v_sorted   uuid[] := array(select x.id from unnest(p_ids) x (id) order by x.id);
    v_known    uuid[];                  -- stored by an earlier try
    v_fresh    boolean[];               -- for each of p_ids: whether it is to be stored
    v_made     boolean := false;
    v_timed    boolean := false;        -- whether a key that was taken is held for a time
    v_began    timestamptz := clock_timestamp();
    v_limited  text[] := jobs.limited_queues();
    v_stored   uuid[];
    v_deleted  uuid[];
    v_batches  uuid[];
    v_unsealed uuid[];
    v_parents  uuid[];                  -- parents that are not in the request, and how they stand
    v_sides    int2[];
    v_children uuid[];                  -- what the new jobs wait for: a row for each
    v_of       uuid[];
    v_places   int2[];
    v_on       int2[];
    v_verdicts int[];
    v_waiting  uuid[] := '{}';          -- parents that are not in the request, and wait themselves
    v_starts   uuid[];
    u          record;
    told       record;
begin
    ids := p_ids;
    existing := array_fill(false, array[coalesce(cardinality(p_ids), 0)]);
    queues := '{}';
    priorities := '{}';
    below := false;
    v_known := array(select j.id from jobs.job j
                      where j.id = any (v_sorted) and j.id between v_sorted[1] and v_sorted[cardinality(v_sorted)]);
    v_fresh := array(
        select k.id is null from unnest(p_ids) with ordinality x (id, place) left join unnest(v_known) k (id) on k.id = x.id order by x.place);

    -- Keys. Of jobs of this request the first gets it.
    for u in
        select x.place::int, x.id, x.kind, k.key, jobs.key_until(k.until) as until, jobs.key_time(k.until) as longest, k.on_conflict
          from unnest(p_ids, p_kinds, p_rules) with ordinality x (id, kind, rules, place)
         cross join lateral (select x.rules::json -> 'unique' ->> 'key' as key, x.rules::json -> 'unique' -> 'until' as until,
                                    x.rules::json -> 'unique' ->> 'on_conflict' as on_conflict) k
         where k.key is not null and v_fresh[x.place]
         order by x.kind collate "C", k.key collate "C", x.place
    loop
        loop
            insert into jobs.unique_key (kind, key, job_id, until, expires_at)
            values (u.kind, u.key, u.id, u.until, v_began + u.longest) on conflict do nothing;
            v_timed := v_timed or found and u.longest is not null;
            exit when found;
            select k.job_id, k.expires_at into told from jobs.unique_key k where k.kind = u.kind and k.key = u.key;
            continue when not found;
            if told.expires_at <= clock_timestamp() then
                delete from jobs.unique_key k where k.kind = u.kind and k.key = u.key and k.expires_at <= clock_timestamp();
                continue;
            end if;
            exit when told.job_id = u.id;
            if u.on_conflict = 'error' then
                about := told.job_id;
                detail := u.key;
                raise exception 'duplicate' using errcode = 'JB001';
            end if;
            ids[u.place] := told.job_id;
            existing[u.place] := true;
            exit;
        end loop;
    end loop;
    v_fresh := array(
        select x.fresh and not x.existing from unnest(v_fresh, existing) with ordinality x (fresh, existing, place) order by x.place);

    -- A child in the request waits for the holder then: that is what its rules say once they are stored. Only those are touched:
    -- of a hundred thousand jobs all keys may be held.
    if ids <> p_ids then
        p_rules := array(
            select case when f.place is null then x.rules else jobs.follow(x.rules, f.parents, f.holders) end
              from unnest(p_rules) with ordinality x (rules, place)
              left join (select c.place, array_agg(h.id) as parents, array_agg(h.answer) as holders
                           from (select r.place, (p.given ->> 'job')::uuid as parent
                                   from unnest(p_rules, v_fresh) with ordinality r (rules, fresh, place)
                                  cross join lateral json_array_elements(r.rules::json -> 'parents') p (given)
                                  where r.fresh) c
                           join unnest(p_ids, ids) h (id, answer) on h.id = c.parent and h.answer <> h.id
                          group by c.place) f on f.place = x.place
             order by x.place);
    end if;

    -- Batches: that of the request, and those that take members.
    if p_batch is not null then
        insert into jobs.batch (id, name, parent, keep_for, sealed_at)
        values (p_batch, p_name, p_parent, p_keep_for::json, case when p_sealed then clock_timestamp() end) on conflict (id) do nothing;
        v_made := found;
        if v_made and p_parent is not null then
            insert into jobs.batch_delta (batch, total) values (p_parent, 1);
        end if;
    end if;
    v_batches := array(
        select distinct b.id
          from (select (x.rules::json ->> 'batch')::uuid as id from unnest(p_rules, v_fresh) x (rules, fresh) where x.fresh
                 union all select p_parent where v_made) b
         where b.id is not null order by 1);
    v_unsealed := '{}';
    for u in
        select x.id as wanted, b.* from unnest(v_batches) x (id)
          left join (select * from jobs.batch b where b.id = any (v_batches) order by b.id for share) b on b.id = x.id
    loop
        about := u.wanted;
        if u.id is null or u.removed_at is not null then
            raise exception 'unknown batch' using errcode = 'JB001';
        elsif u.cancelled_at is not null then
            raise exception 'batch cancelled' using errcode = 'JB001';
        elsif u.finished_at is not null then
            raise exception 'batch ended' using errcode = 'JB001';
        elsif u.sealed_at is null then
            v_unsealed := v_unsealed || u.id;
        end if;
    end loop;
    about := null;
    if v_made and p_parent = any (v_unsealed) then
        -- Nothing in one that is not complete is: it is completed with that, which waits for this transaction.
        update jobs.batch b set sealed_at = null where b.id = p_batch;
        v_unsealed := v_unsealed || p_batch;
    end if;

    -- Parents. Each is locked so that it cannot end unseen before this is committed.
    select array_agg(c.child), array_agg(c.parent), array_agg(c.place), array_agg(c.condition)
      into v_children, v_of, v_places, v_on
      from (select distinct on (c.child, c.parent) c.child, c.parent, c.place, c.condition
              from (select x.id as child, coalesce((p.given ->> 'job')::uuid, (p.given ->> 'batch')::uuid) as parent,
                           p.place::int2 as place, (array_position('{success,failure,deletion,any}'::text[], p.given ->> 'on') - 1)::int2 as condition
                      from unnest(p_ids, p_rules, v_fresh) x (id, rules, fresh)
                     cross join lateral json_array_elements(x.rules::json -> 'parents') with ordinality p (given, place)
                     where x.fresh) c
             order by c.child, c.parent, c.place) c;
    if v_children is not null then
        v_parents := array(
            select distinct x.id from unnest(v_of) x (id) left join unnest(p_ids, v_fresh) f (id, fresh) on f.id = x.id and f.fresh
             where f.id is null order by x.id);
        select array_agg(l.id), array_agg(l.side), coalesce(array_agg(l.id) filter (where l.waits), '{}') into v_parents, v_sides, v_waiting
          from (select p.id, coalesce(j.state, b.side, -1)::int2 as side, b.side = 0 or j.state = 1 and j.pending > 0 as waits
                  from unnest(v_parents) p (id)
                  left join (select j.id, j.state, j.pending from jobs.job j
                              where j.id = any (v_parents) and j.id between v_parents[1] and v_parents[cardinality(v_parents)]
                              order by j.id for share) j on j.id = p.id
                  left join (select b.id, coalesce(b.outcome, 0) as side from jobs.batch b where b.id = any (v_parents) and b.removed_at is null
                              order by b.id for share) b on b.id = p.id) l;
        select c.parent into u
          from unnest(v_of) c (parent) join unnest(v_parents, v_sides) s (id, side) on s.id = c.parent
         where s.side = -1 limit 1;
        if found then
            about := u.parent;
            raise exception 'unknown parent' using errcode = 'JB001';
        end if;
        v_verdicts := array(
            select jobs.verdict(c.condition, s.side)
              from unnest(v_of, v_on) with ordinality c (parent, condition, place)
              left join unnest(v_parents, v_sides) s (id, side) on s.id = c.parent order by c.place);
    end if;

    with waits as (
        select c.child, count(*) filter (where c.verdict = 0) as parents, bool_or(c.verdict = 2) as never
          from unnest(v_children, v_verdicts) c (child, verdict) group by 1
    ), stored as (
        insert into jobs.job (id, run_at, priority, kind, queue, args, options, rules, state, pending)
        select x.id, greatest(coalesce(x.due_at, clock_timestamp() + make_interval(secs => x.due_in)), clock_timestamp()),
               x.priority, x.kind, x.queue, x.args::json, x.options::json,
               coalesce(x.rules, case when x.queue = any (v_limited) then '{}' end)::json,
               case when w.parents > 0 or w.never or (x.rules::json ->> 'batch')::uuid = any (v_unsealed) then 1 else 0 end,
               coalesce(w.parents, case when (x.rules::json ->> 'batch')::uuid = any (v_unsealed) then 0 end)
          from unnest(p_ids, p_kinds, p_queues, p_priorities, p_args, p_options, p_due_at, p_due_in, p_rules, v_fresh)
               x (id, kind, queue, priority, args, options, due_at, due_in, rules, fresh)
          left join waits w on w.child = x.id
         where x.fresh
            on conflict (id) do nothing
     returning id, state, rules, queue, priority, created_at
    ), waiting as (
        insert into jobs.awaiting (job_id) select s.id from stored s where s.state = 1
    ), parents as (
        insert into jobs.dependency (parent, child, place, condition)
        select c.parent, c.child, c.place, c.condition
          from unnest(v_of, v_children, v_places, v_on, v_verdicts) c (parent, child, place, condition, verdict)
          join stored s on s.id = c.child
         where c.verdict = 0
    ), members as (
        insert into jobs.batch_member (batch, member)
        select (s.rules ->> 'batch')::uuid, s.id from stored s where s.rules ->> 'batch' is not null
    ), deltas as (
        insert into jobs.batch_delta (batch, total)
        select (s.rules ->> 'batch')::uuid, count(*) from stored s where s.rules ->> 'batch' is not null group by 1 order by 1
    ), expiries as (
        insert into jobs.expiry (job_id, expires_at, expires_in)
        select s.id, s.created_at + make_interval(secs => e.secs), e.secs
          from stored s
         cross join lateral (select jobs.seconds(s.rules -> 'expires_in')) e (secs)
         where e.secs is not null
    )
    select coalesce(array_agg(s.id order by s.id), '{}') into v_stored from stored s;
    if v_timed then
        -- The time begins when the job is stored.
        update jobs.unique_key k set expires_at = clock_timestamp() + (k.expires_at - v_began)
         where k.job_id = any (v_stored) and k.expires_at is not null;
    end if;
    existing := array(
        select s.id is null from unnest(p_ids) with ordinality x (id, place) left join unnest(v_stored) s (id) on s.id = x.id order by x.place);
    select p.queues, p.priorities into queues, priorities from jobs.place(v_stored) p;

    -- Those that wait in vain.
    v_deleted := array(
        select distinct c.child from unnest(v_children, v_verdicts) c (child, verdict) join unnest(v_stored) s (id) on s.id = c.child
         where c.verdict = 2 order by 1);
    if v_deleted <> '{}' then
        perform jobs.give_up(v_deleted, array(
            select (select jobs.why_not(c.parent, s.side)
                      from unnest(v_children, v_of, v_verdicts, v_places) c (child, parent, verdict, place)
                      join unnest(v_parents, v_sides) s (id, side) on s.id = c.parent
                     where c.child = d.id and c.verdict = 2 order by c.place limit 1)
              from unnest(v_deleted) with ordinality d (id, place) order by d.place));
        select f.queues, f.priorities into told from jobs.finished(v_deleted, v_deleted, 1, '{}') f;
        queues := queues || told.queues;
        priorities := priorities || told.priorities;
    end if;

    -- Those whose key another holds, and that he is to become. In the order of their ids, as everybody locks jobs.
    for u in
        select x.place::int, x.answer, x.kind, x.queue, x.priority, x.args, x.options, x.rules::json -> 'unique' ->> 'on_conflict' as on_conflict,
               x.rules::json -> 'limits' as limits,
               greatest(coalesce(x.due_at, clock_timestamp() + make_interval(secs => x.due_in)), clock_timestamp()) as due
          from unnest(p_ids, ids, p_kinds, p_queues, p_priorities, p_args, p_options, p_due_at, p_due_in, p_rules)
               with ordinality x (id, answer, kind, queue, priority, args, options, due_at, due_in, rules, place)
         where x.answer <> x.id and x.rules::json -> 'unique' ->> 'on_conflict' in ('replace', 'debounce')
         order by x.answer, x.place
    loop
        select r.queues, r.priorities, r.below into told
          from jobs.replace(u.answer, u.queue, u.priority, u.args::json, u.options::json, u.limits, case u.on_conflict when 'debounce' then u.due end) r;
        queues := queues || told.queues;
        priorities := priorities || told.priorities;
        below := below or told.below;
    end loop;
    -- A new job that waits for somebody who waits himself, and for whom somebody waits, may close a circle. Looked for last,
    -- because it may wait for another who looks: by then he waits for nobody.
    if v_waiting <> '{}' and v_batches <> '{}' or v_children is not null and ids <> p_ids then
        v_starts := array(
            select distinct c.child
              from unnest(v_children, v_of, v_verdicts) c (child, parent, verdict)
              join unnest(p_ids, p_rules, v_fresh) x (id, rules, fresh) on x.id = c.child and x.fresh
              left join unnest(v_waiting || array(select y.answer from unnest(p_ids, ids) y (id, answer) where y.answer <> y.id)) w (id)
                on w.id = c.parent
              left join unnest(v_of) o (id) on o.id = c.child
             where c.verdict = 0 and w.id is not null and (o.id is not null or x.rules::json ->> 'batch' is not null));
        if v_starts <> '{}' then
            detail := jobs.circle(v_starts, 1000 + cardinality(v_stored));
        end if;
        if detail is not null then
            raise exception 'circle' using errcode = 'JB001';
        end if;
    end if;
    if p_batch is not null and p_sealed then
        select f.queues, f.priorities into told from jobs.fold_batch(p_batch) f;
        queues := queues || told.queues;
        priorities := priorities || told.priorities;
    end if;
    now := clock_timestamp();
exception when sqlstate 'JB001' then
    -- What this function did until here is undone.
    problem := sqlerrm;
    now := clock_timestamp();
end
$fn$;

-- The same in a transaction of its own. One plan serves all: to make one for each call takes longer than to carry it out. It locks
-- the partitions of all days, if only for a moment.
create or replace function jobs.insert_with_rules_alone(
    p_ids uuid[], p_kinds text[], p_queues text[], p_priorities int2[], p_args text[], p_options text[], p_due_at timestamptz[],
    p_due_in float8[], p_rules text[], p_batch uuid, p_name text, p_parent uuid, p_keep_for text, p_sealed boolean,
    out ids uuid[], out existing boolean[], out problem text, out about uuid, out detail text,
    out queues text[], out priorities int2[], out now timestamptz, out below boolean)
language plpgsql volatile set plan_cache_mode = force_generic_plan as $fn$
begin
    select i.ids, i.existing, i.problem, i.about, i.detail, i.queues, i.priorities, i.now, i.below
      into ids, existing, problem, about, detail, queues, priorities, now, below
      from jobs.insert_with_rules(p_ids, p_kinds, p_queues, p_priorities, p_args, p_options, p_due_at, p_due_in, p_rules, p_batch, p_name,
                                  p_parent, p_keep_for, p_sealed) i;
end
$fn$;

-- The same in a caller's transaction: its plans are made for these very values, and so lock the partitions of these jobs
-- only. Others are told when that transaction commits.
create or replace function jobs.insert_with_rules_within(
    p_ids uuid[], p_kinds text[], p_queues text[], p_priorities int2[], p_args text[], p_options text[], p_due_at timestamptz[],
    p_due_in float8[], p_rules text[], p_batch uuid, p_name text, p_parent uuid, p_keep_for text, p_sealed boolean, p_tell boolean,
    out ids uuid[], out existing boolean[], out problem text, out about uuid, out detail text,
    out queues text[], out priorities int2[], out now timestamptz, out below boolean)
language plpgsql volatile set plan_cache_mode = force_custom_plan as $fn$
begin
    select i.ids, i.existing, i.problem, i.about, i.detail, i.queues, i.priorities, i.now, i.below
      into ids, existing, problem, about, detail, queues, priorities, now, below
      from jobs.insert_with_rules(p_ids, p_kinds, p_queues, p_priorities, p_args, p_options, p_due_at, p_due_in, p_rules, p_batch, p_name,
                                  p_parent, p_keep_for, p_sealed) i;
    if p_tell and problem is null then
        perform pg_notify('jobs:jobs', 'j' || l.priority || ':' || l.queue || '@sql')
           from (select distinct x.queue, x.priority from unnest(queues, priorities) x (queue, priority)) l;
        -- There may be something to let in, or to fold.
        perform pg_notify('jobs:jobs', 'u');
        if below then
            perform pg_notify('jobs:jobs', 'b');
        end if;
    end if;
end
$fn$;

-- Rules with other limits.
create or replace function jobs.with_limits(p_rules json, p_limits json) returns json language sql immutable as $fn$
    select ((p_rules::jsonb - 'limits') || case when p_limits is null then '{}'::jsonb else jsonb_build_object('limits', p_limits::jsonb) end)::json
$fn$;

-- A waiting job becomes another: with these arguments and options, in this queue, counted by these limits; due at p_due, or as it was. One
-- that runs is left alone. Its place in the queue stays, so that who is replaced again and again gets his turn. A ticket that was
-- due before now may lie below what claims look at (`below`): they are told to look from the beginning.
create or replace function jobs.replace(p_job uuid, p_queue text, p_priority smallint, p_args json, p_options json, p_limits json, p_due timestamptz,
                             out queues text[], out priorities int2[], out below boolean)
language plpgsql volatile as $fn$
declare
    j record;
begin
    queues := '{}';
    priorities := '{}';
    below := false;
    select * into j from jobs.job b where b.id = p_job for no key update;
    if not found or j.state > 1 or j.state = 0 and not jobs.take_place(j.queue, j.priority, j.run_at, j.id, j.run) then
        return;
    end if;
    update jobs.job b
       set args = p_args, options = p_options, rules = jobs.with_limits(b.rules, p_limits), queue = p_queue, priority = p_priority, run = b.run + 1, settled = false,
           run_at = case when p_due is null then b.run_at else greatest(p_due, clock_timestamp()) end
     where b.id = p_job;
    if j.state = 0 then
        select p.queues, p.priorities into queues, priorities from jobs.place(array[p_job]) p;
        below := queues <> '{}' and p_due is null and j.run_at < clock_timestamp();
    end if;
end
$fn$;

-- Takes a waiting job, whose body the caller has locked, out of its queue, or out of its line. False if a worker has it.
create or replace function jobs.take_place(p_queue text, p_priority smallint, p_run_at timestamptz, p_job uuid, p_run int) returns boolean
language plpgsql volatile as $fn$
begin
    delete from jobs.ticket t
     where t.queue = p_queue and t.priority = p_priority and t.run_at = p_run_at and t.job_id = p_job and t.run = p_run;
    if found then
        -- It was let in for nothing.
        perform jobs.end_permits(array[p_job], '{}');
        return true;
    end if;
    delete from jobs.blocked b where b.job_id = p_job;
    return found;
end
$fn$;

-- A final job that is to run again takes its unique key again. Answers who holds it, if another does.
create or replace function jobs.take_key(p_job uuid, p_kind text, p_unique json) returns uuid language plpgsql volatile as $fn$
declare
    v_holder  uuid;
    v_expires timestamptz;
begin
    if p_unique -> 'until' -> 'period' is not null then
        return null;
    end if;
    loop
        insert into jobs.unique_key (kind, key, job_id, until, expires_at)
        values (p_kind, p_unique ->> 'key', p_job, jobs.key_until(p_unique -> 'until'),
                clock_timestamp() + jobs.key_time(p_unique -> 'until')) on conflict do nothing;
        if found then
            return null;
        end if;
        select k.job_id, k.expires_at into v_holder, v_expires from jobs.unique_key k where k.kind = p_kind and k.key = p_unique ->> 'key';
        continue when not found;
        if v_expires <= clock_timestamp() then
            delete from jobs.unique_key k where k.kind = p_kind and k.key = p_unique ->> 'key' and k.expires_at <= clock_timestamp();
            continue;
        end if;
        return nullif(v_holder, p_job);
    end loop;
end
$fn$;

-- Settles one success in a caller's transaction, with all that follows. The claim is read without a lock, which would last as
-- long as the transaction. Answers how many jobs were settled, and whether there may be something to let in.
create or replace function jobs.complete(p_worker uuid, p_claim uuid, p_job uuid, p_run int, p_ran float8, p_result text, p_note text, p_tell boolean,
                              out settled bigint, out ruled boolean, out queues text[], out priorities int2[])
language plpgsql volatile set jit = off set plan_cache_mode = force_custom_plan as $fn$
declare
    v_ruled boolean;
begin
    with settled as (
        update jobs.job j
           set state = 2, run = j.run + 1, attempt = j.attempt + 1, worker = p_worker, settled = true, reason = p_note,
               result = p_result::json, started_at = clock_timestamp() - make_interval(secs => p_ran), finished_at = clock_timestamp()
         where j.id = p_job and j.run = p_run and j.state = 0
           and exists (select from jobs.claim c where c.worker = p_worker and c.id = p_claim)
     returning j.queue, j.kind, j.rules
    ), stats as (
        insert into jobs.stat_delta (queue, kind, succeeded, run_millis)
        select s.queue, s.kind, 1, coalesce(p_ran * 1000, 0)::bigint from settled s
    )
    select count(*), bool_or(s.rules is not null) into settled, v_ruled from settled s;
    -- A statement of its own, so that it sees a child whose transaction the update above had to wait for.
    ruled := settled > 0 and (v_ruled or exists (select from jobs.dependency d where d.parent = p_job));
    if ruled then
        select f.queues, f.priorities into queues, priorities
          from jobs.finished(case when v_ruled then array[p_job] else '{}' end, array[p_job], 0, array[p_job]) f;
        if p_tell then
            perform pg_notify('jobs:jobs', 'j' || l.priority || ':' || l.queue || '@sql')
               from (select distinct x.queue, x.priority from unnest(queues, priorities) x (queue, priority)) l;
            perform pg_notify('jobs:jobs', 'u');
        end if;
    end if;
end
$fn$;
