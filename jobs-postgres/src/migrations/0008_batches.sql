-- Batches: sealed, counted, ended, opened again; and circles of jobs and batches that wait for each other.

-- Adds up what happened to the members of a batch, and ends it, or opens it again, if so it has come to. Somebody else who
-- has locked the batch does it too, or a later call.
create or replace function jobs.fold_batch(p_batch uuid, out done boolean, out queues text[], out priorities int2[])
language plpgsql volatile set jit = off
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off as $fn$
declare
    b         record;
    d         record;
    v_outcome smallint;
begin
    queues := '{}';
    priorities := '{}';
    select * into b from jobs.batch x where x.id = p_batch for update skip locked;
    done := found;
    if not done then
        delete from jobs.batch_delta x where x.batch = p_batch and not exists (select from jobs.batch y where y.id = p_batch);
        return;
    end if;
    with gone as (
        delete from jobs.batch_delta x where x.batch = p_batch returning *
    )
    select coalesce(sum(g.total), 0) + b.total as total, coalesce(sum(g.succeeded), 0) + b.succeeded as succeeded,
           coalesce(sum(g.failed), 0) + b.failed as failed, coalesce(sum(g.deleted), 0) + b.deleted as deleted
      into d from gone g;
    if (b.sealed_at is not null or b.cancelled_at is not null) and d.total <= d.succeeded + d.failed + d.deleted then
        v_outcome := case when b.cancelled_at is not null then 4 when d.failed > 0 then 3 else 2 end;
    end if;
    update jobs.batch x
       set total = d.total, succeeded = d.succeeded, failed = d.failed, deleted = d.deleted, outcome = v_outcome,
           finished_at = case when v_outcome is not null then coalesce(x.finished_at, clock_timestamp()) end
     where x.id = p_batch;
    if v_outcome is distinct from b.outcome then
        perform jobs.tell_batch(b.parent, b.outcome, v_outcome);
        if v_outcome is not null then
            select f.queues, f.priorities into queues, priorities from jobs.finished('{}', array[p_batch], 0, '{}') f;
        end if;
    end if;
end
$fn$;

-- A member of a batch that is a batch has gone from one outcome to another (null: it is open).
create or replace function jobs.tell_batch(p_batch uuid, p_was smallint, p_is smallint) returns void language sql volatile as $fn$
    insert into jobs.batch_delta (batch, succeeded, failed, deleted)
    select p_batch, coalesce((p_is = 2)::int, 0) - coalesce((p_was = 2)::int, 0), coalesce((p_is = 3)::int, 0) - coalesce((p_was = 3)::int, 0),
           coalesce((p_is = 4)::int, 0) - coalesce((p_was = 4)::int, 0)
     where p_batch is not null
$fn$;

-- Folds batches of which something is to be added up. Answers how many were.
create or replace function jobs.fold_batches(p_limit int, out folded bigint, out queues text[], out priorities int2[])
language plpgsql volatile set jit = off
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off as $fn$
declare
    v_batch uuid;
    told    record;
begin
    folded := 0;
    queues := '{}';
    priorities := '{}';
    for v_batch in
        with recursive one (batch) as (
            (select d.batch from jobs.batch_delta d order by d.batch limit 1)
            union all
            select (select d.batch from jobs.batch_delta d where d.batch > one.batch order by d.batch limit 1) from one where one.batch is not null
        )
        select one.batch from one where one.batch is not null limit p_limit
    loop
        select f.done, f.queues, f.priorities into told from jobs.fold_batch(v_batch) f;
        folded := folded + told.done::int;
        queues := queues || told.queues;
        priorities := priorities || told.priorities;
    end loop;
end
$fn$;

-- Whether a batch, or one around it, is not complete. Who holds the lock of one in it may rely on the answer: to complete
-- the outer one takes that lock too.
create or replace function jobs.is_in_unsealed(p_batch uuid) returns boolean language sql volatile as $fn$
    with recursive up (id, parent, unsealed) as (
        select b.id, b.parent, b.sealed_at is null and b.cancelled_at is null from jobs.batch b where b.id = p_batch
         union all
        select b.id, b.parent, b.sealed_at is null and b.cancelled_at is null from up join jobs.batch b on b.id = up.parent
    )
    select coalesce(bool_or(up.unsealed), false) from up
$fn$;

-- Locks a batch and all that are in it, each after the one around it, and answers them in this order; null if p_skip, and
-- somebody else has locked one. Whoever puts one into a batch holds that one's lock until he commits, so none is missed.
create or replace function jobs.lock_tree(p_batch uuid, p_skip boolean default false) returns uuid[] language plpgsql volatile as $fn$
declare
    v_tree  uuid[] := '{}';
    v_level uuid[] := array[p_batch];
begin
    while v_level <> '{}' loop
        if p_skip then
            if v_level <> array(select b.id from jobs.batch b where b.id = any (v_level) order by b.id for update skip locked) then
                return null;
            end if;
        else
            perform from jobs.batch b where b.id = any (v_level) order by b.id for update;
        end if;
        v_tree := v_tree || v_level;
        v_level := array(select b.id from jobs.batch b where b.parent = any (v_level) order by b.id);
    end loop;
    return v_tree;
end
$fn$;

-- Makes a batch complete, and those in it: all members that wait for nobody become ready, in this one transaction. One in a
-- batch that is not complete is completed with that. False if there is no such batch.
create or replace function jobs.seal_batch(p_batch uuid, out known boolean, out queues text[], out priorities int2[])
language plpgsql volatile set jit = off
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
declare
    b         record;
    v_batch   uuid;
    v_tree    uuid[];
    v_members uuid[];
    v_last    uuid;
    v_now     timestamptz := clock_timestamp();
    told      record;
begin
    queues := '{}';
    priorities := '{}';
    select * into b from jobs.batch x where x.id = p_batch for update;
    known := found and b.removed_at is null;
    if not known or b.sealed_at is not null or b.cancelled_at is not null or jobs.is_in_unsealed(b.parent) then
        return;
    end if;
    v_tree := jobs.lock_tree(p_batch);
    -- All of them before any of their members: whether one may run is asked of its own batch only.
    update jobs.batch x set sealed_at = v_now where x.id = any (v_tree) and x.sealed_at is null and x.cancelled_at is null;
    for v_batch in
        select t.id from unnest(v_tree) with ordinality t (id, place) join jobs.batch x on x.id = t.id
         where x.sealed_at = v_now order by t.place desc
    loop
        v_last := '00000000-0000-0000-0000-000000000000';
        loop
            v_members := array(
                select m.member from jobs.batch_member m where m.batch = v_batch and m.member > v_last order by m.member limit 10000);
            exit when v_members = '{}';
            v_last := v_members[cardinality(v_members)];
            v_members := array(
                select j.id from jobs.job j
                 where j.id = any (v_members) and j.id between v_members[1] and v_last and j.state = 1 and j.pending <= 0
                 order by j.id for no key update);
            continue when v_members = '{}';
            select r.queues, r.priorities into told from jobs.ready(v_members) r;
            queues := queues || told.queues;
            priorities := priorities || told.priorities;
        end loop;
        select f.queues, f.priorities into told from jobs.fold_batch(v_batch) f;
        queues := queues || told.queues;
        priorities := priorities || told.priorities;
    end loop;
    select coalesce(array_agg(l.queue), '{}'), coalesce(array_agg(l.priority), '{}') into queues, priorities
      from (select distinct x.queue, x.priority from unnest(queues, priorities) x (queue, priority)) l;
end
$fn$;

-- Opens a batch that has ended or was cancelled. False if there is no such batch.
create or replace function jobs.reopen_batch(p_batch uuid) returns boolean language plpgsql volatile set jit = off as $fn$
declare
    b record;
begin
    perform from jobs.batch x where x.id = p_batch and x.removed_at is null for update;
    if not found then
        return false;
    end if;
    perform jobs.fold_batch(p_batch);
    select * into b from jobs.batch x where x.id = p_batch;
    if b.outcome is not null then
        perform jobs.tell_batch(b.parent, b.outcome, null);
    end if;
    update jobs.batch x
       set finished_at = null, cancelled_at = null, outcome = null,
           sealed_at = case when not jobs.is_in_unsealed(x.parent) then coalesce(x.sealed_at, clock_timestamp()) end
     where x.id = p_batch and (x.finished_at is not null or x.cancelled_at is not null);
    return true;
end
$fn$;

-- Marks a batch and those in it as cancelled: from then on they take no members. Answers null if there is no such batch,
-- false if it has ended or is cancelled already.
create or replace function jobs.cancel_batch(p_batch uuid, p_actor text, p_reason text) returns boolean language plpgsql volatile set jit = off as $fn$
declare
    b record;
begin
    select * into b from jobs.batch x where x.id = p_batch and x.removed_at is null for update;
    if not found then
        return null;
    elsif b.finished_at is not null or b.cancelled_at is not null then
        return false;
    end if;
    -- In one order by everybody.
    perform jobs.lock_tree(p_batch);
    with recursive down (id) as (
        select p_batch
         union all
        select x.id from down join jobs.batch x on x.parent = down.id and x.finished_at is null
    )
    update jobs.batch x
       set cancelled_at = clock_timestamp(), cancelled_by = p_actor, cancelled_for = p_reason
      from down where x.id = down.id and x.finished_at is null and x.cancelled_at is null;
    -- One without members has nobody whose end would end it.
    insert into jobs.batch_delta (batch) select x.id from jobs.batch x where x.cancelled_at is not null and x.finished_at is null;
    return true;
end
$fn$;

-- Deletes members of a cancelled batch that are not final. Ids in ascending order. `busy`: those that somebody else has locked,
-- unless p_wait says to wait for them. `held`: those that a worker had, who is told. A Failed member stays as it is.
create or replace function jobs.delete_members(p_jobs uuid[], p_wait boolean, p_actor text, p_reason text, out deleted bigint, out busy uuid[],
                                    out held uuid[], out queues text[], out priorities int2[])
language plpgsql volatile set jit = off
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
declare
    v_low    uuid := p_jobs[1];
    v_high   uuid := p_jobs[cardinality(p_jobs)];
    v_jobs   uuid[];
    v_states int2[];
begin
    perform set_config('lock_timeout', '2s', true);
    if p_wait then
        select array_agg(l.id), array_agg(l.state) into v_jobs, v_states
          from (select j.id, j.state from jobs.job j where j.id = any (p_jobs) and j.id between v_low and v_high and j.state < 2
                 order by j.id for no key update) l;
    else
        select array_agg(l.id), array_agg(l.state) into v_jobs, v_states
          from (select j.id, j.state from jobs.job j where j.id = any (p_jobs) and j.id between v_low and v_high and j.state < 2
                 order by j.id for no key update skip locked) l;
    end if;
    busy := array(
        select j.id from jobs.job j where j.id = any (p_jobs) and j.id between v_low and v_high and j.state < 2
        except select l.id from unnest(v_jobs) l (id)
         order by 1);
    deleted := coalesce(cardinality(v_jobs), 0);
    if deleted = 0 then
        return;
    end if;
    -- A ticket is ours or a claim's: whose is in neither place, a worker has.
    with tickets as (
        delete from jobs.ticket t where t.ctid = any (array(
            -- With a limit it is looked up for each job, and no join that begins with the tickets.
            select k.ctid from jobs.job j
             cross join lateral (
                select x.ctid from jobs.ticket x
                 where x.queue = j.queue and x.priority = j.priority and x.run_at = j.run_at and x.job_id = j.id and x.run = j.run limit 1) k
             where j.id = any (v_jobs) and j.id between v_low and v_high and j.state = 0))
     returning t.job_id
    ), lines as (
        delete from jobs.blocked b where b.job_id = any (v_jobs) returning b.job_id
    ), gone as (
        update jobs.job j
           set state = 4, run = j.run + 1, settled = false, finished_at = clock_timestamp(), pending = null,
               reason = 'its batch was cancelled by ' || p_actor || coalesce(': ' || p_reason, '')
          from unnest(v_jobs, v_states) x (id, was)
         where j.id = any (v_jobs) and j.id between v_low and v_high and j.id = x.id
     returning j.id, j.queue, j.kind, j.run_at, x.was
    ), found as (
        select g.id, g.queue, g.kind,
               case when g.was = 1 then 'awaiting' when p.job_id is null then 'processing'
                    when g.run_at > clock_timestamp() then 'scheduled' else 'enqueued' end as state
          from gone g left join (select t.job_id from tickets t union all select l.job_id from lines l) p on p.job_id = g.id
    ), stats as (
        insert into jobs.stat_delta (queue, kind, deleted) select f.queue, f.kind, count(*) from found f group by 1, 2
    ), events as (
        insert into jobs.event (job_id, verb, actor, reason, from_state, to_state)
        select f.id, 'delete', p_actor, p_reason, f.state, 'deleted' from found f order by f.id
    )
    select array_agg(f.id) into held from found f where f.state = 'processing';
    delete from jobs.dependency d where d.child = any (v_jobs);
    delete from jobs.awaiting a where a.job_id = any (v_jobs);
    perform pg_notify('jobs:jobs', 'c' || h.id) from unnest(held) h (id);
    select f.queues, f.priorities into queues, priorities from jobs.finished(v_jobs, v_jobs, 0, '{}') f;
end
$fn$;

-- Removes batches that nobody has completed within an hour, with all that is in them, some members at a time. Answers how much
-- was done.
create or replace function jobs.remove_unsealed(p_limit int) returns bigint language plpgsql volatile set jit = off
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off as $fn$
declare
    b         record;
    v_tree    uuid[];
    v_batch   uuid;
    v_members uuid[];
    v_waiting uuid[];
begin
    select * into b from jobs.batch x
     where x.sealed_at is null and x.cancelled_at is null and x.created_at < now() - interval '1 hour'
       and not exists (select from jobs.batch y where y.id = x.parent and y.sealed_at is null and y.cancelled_at is null)
     order by x.created_at limit 1 for update skip locked;
    if not found then
        return 0;
    end if;
    v_tree := jobs.lock_tree(b.id, true);
    if v_tree is null then
        return 0;
    end if;
    -- From now on it cannot be completed: a part of it may be gone.
    update jobs.batch x set removed_at = clock_timestamp() where x.id = any (v_tree) and x.removed_at is null;
    perform jobs.leave(v_tree, 'its batch %s was not complete within 1 h and was removed', true);
    -- Those of the innermost first.
    select t.id into v_batch from unnest(v_tree) with ordinality t (id, place)
     where exists (select from jobs.batch_member m where m.batch = t.id) order by t.place desc limit 1;
    v_members := array(select m.member from jobs.batch_member m where m.batch = v_batch order by m.member limit p_limit);
    v_members := array(
        select j.id from jobs.job j
         where j.id = any (v_members) and j.id between v_members[1] and v_members[cardinality(v_members)]
         order by j.id for update skip locked);
    v_waiting := array(
        select j.id from jobs.job j
         where j.id = any (v_members) and j.id between v_members[1] and v_members[cardinality(v_members)] and j.state = 1
         order by j.id);
    if v_waiting <> '{}' then
        perform jobs.give_up(v_waiting, array(select null::text from unnest(v_waiting)));
        perform jobs.finished(v_waiting, v_waiting, 1, '{}');
    end if;
    perform jobs.remove(v_members);
    if not exists (select from jobs.batch_member m where m.batch = any (v_tree))
       and not exists (select from jobs.dependency d where d.parent = any (v_tree)) then
        delete from jobs.batch_delta d where d.batch = any (v_tree);
        delete from jobs.batch x where x.id = any (v_tree);
        if b.parent is not null then
            insert into jobs.batch_delta (batch, total) values (b.parent, -1);
        end if;
        return 1;
    end if;
    return cardinality(v_members);
end
$fn$;

-- Whether a job's batch is not complete, so that it must not run. It cannot be completed before this transaction ends.
create or replace function jobs.is_held_back(p_rules json) returns boolean language plpgsql volatile as $fn$
begin
    if p_rules ->> 'batch' is null then
        return false;
    end if;
    perform from jobs.batch b where b.id = (p_rules ->> 'batch')::uuid and b.sealed_at is null and b.cancelled_at is null for share;
    return found;
end
$fn$;

-- Looks for a circle through these jobs, which have just been stored: from them to those who wait for them, and for those, to
-- p_limit of them at most. Answers it, if there is one, as it is read in the program: each waits for the next, the last for
-- the first.
--
-- Two who would close one together, at the same time, would not see each other. So whoever looks locks the batches that his
-- jobs are in, and those that they, or the jobs before them, wait for, until he commits; others who put members into them
-- are not held up by that. (Where more jobs lie between, they may miss each other.)
create or replace function jobs.circle(p_jobs uuid[], p_limit int) returns text language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off set enable_nestloop = on as $fn$
declare
    v_waiters uuid[] := '{}';           -- each waits for the one at its place in v_awaited
    v_awaited uuid[] := '{}';
    v_seen    uuid[] := p_jobs;
    v_level   uuid[] := p_jobs;
    v_circle  uuid[] := '{}';
    v_next    uuid;
    v_left    int;
    found_w   uuid[];
    found_a   uuid[];
begin
    perform pg_advisory_xact_lock(hashtext('jobs:jobs'), hashtext(l.id::text))
       from (with recursive up (id) as (
                 select m.batch from jobs.batch_member m where m.member = any (p_jobs)
                  union
                 select b.parent from up join jobs.batch b on b.id = up.id where b.parent is not null
             )
             select up.id from up
              union
             select b.id
               from jobs.dependency d
              cross join lateral (select d.parent union all select n.parent from jobs.dependency n where n.child = d.parent) n (parent)
               join jobs.batch b on b.id = n.parent
              where d.child = any (p_jobs)
              order by 1) l;
    loop
        select coalesce(array_agg(e.waiter), '{}'), coalesce(array_agg(e.awaited), '{}') into found_w, found_a
          from (select m.batch, m.member from jobs.batch_member m where m.member = any (v_level)
                 union all
                select b.parent, b.id from jobs.batch b where b.id = any (v_level) and b.parent is not null
                 union all
                select d.child, d.parent from jobs.dependency d where d.parent = any (v_level)
                 limit 2 * p_limit) e (waiter, awaited);
        v_waiters := v_waiters || found_w;
        v_awaited := v_awaited || found_a;
        v_level := array(select w.id from unnest(found_w) w (id) except select s.id from unnest(v_seen) s (id));
        v_seen := v_seen || v_level;
        exit when v_level = '{}' or cardinality(v_seen) > p_limit;
    end loop;
    if not exists (select from unnest(v_waiters) w (id) where w.id = any (p_jobs)) then
        return null;
    end if;
    -- Whom nobody waits for is in no circle, nor who waits for nobody: what is left when none such is left are circles.
    loop
        v_left := cardinality(v_waiters);
        select coalesce(array_agg(e.waiter), '{}'), coalesce(array_agg(e.awaited), '{}') into v_waiters, v_awaited
          from unnest(v_waiters, v_awaited) e (waiter, awaited)
         where e.waiter = any (v_awaited) and e.awaited = any (v_waiters);
        if v_waiters = '{}' then
            return null;
        end if;
        exit when cardinality(v_waiters) = v_left;
    end loop;
    v_next := v_waiters[1];
    while v_next <> all (v_circle) loop
        v_circle := v_circle || v_next;
        v_next := v_awaited[array_position(v_waiters, v_next)];
    end loop;
    return (select json_agg(json_build_object(case when b.id is null then 'job' else 'batch' end, c.id) order by c.place)
              from unnest(v_circle) with ordinality c (id, place) left join jobs.batch b on b.id = c.id
             where c.place >= array_position(v_circle, v_next));
end
$fn$;
