-- Removing what is over, where somebody may still wait for it.

-- Ends the waiting for Failed jobs whose time is up: nobody will run them again. Some at a time; answers how many children
-- were Deleted.
create or replace function jobs.abandon(p_succeeded timestamptz, p_failed timestamptz, p_deleted timestamptz, p_limit int)
returns bigint language plpgsql volatile set jit = off
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
declare
    v_parents uuid[];
begin
    v_parents := array(select distinct d.parent from jobs.dependency d where d.condition = 0);
    v_parents := array(
        select j.id from jobs.job j
         where j.id = any (v_parents) and j.id between v_parents[1] and v_parents[cardinality(v_parents)]
           and j.state = 3 and jobs.is_over(j.state, j.finished_at, j.options, p_succeeded, p_failed, p_deleted)
         order by j.id limit p_limit for no key update skip locked);
    return jobs.leave(v_parents, 'its parent %s failed and was removed');
end
$fn$;

-- The children that wait for the success of these, or with p_all for their end in any way, wait in vain. Who is locked by somebody is left. Answers how many were Deleted.
create or replace function jobs.leave(p_parents uuid[], p_reason text, p_all boolean default false) returns bigint language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
declare
    v_children uuid[] := array(select distinct d.child from jobs.dependency d where d.parent = any (p_parents) and (p_all or d.condition = 0) order by 1 limit 5000);
begin
    v_children := array(
        select j.id from jobs.job j
         where j.id = any (v_children) and j.id between v_children[1] and v_children[cardinality(v_children)] and j.state = 1
         order by j.id for no key update skip locked);
    if v_children = '{}' then
        return 0;
    end if;
    perform jobs.give_up(v_children, array(
        select format(p_reason, c.parent)
          from (select distinct on (d.child) d.child, d.parent from jobs.dependency d
                 where d.child = any (v_children) and d.parent = any (p_parents) and (p_all or d.condition = 0)
                 order by d.child, d.place) c
         order by c.child));
    perform jobs.finished(v_children, v_children, 1, '{}');
    return cardinality(v_children);
end
$fn$;

-- Removes jobs with their history. Ids in ascending order; their bodies are locked by the caller. Those that somebody still waits
-- for stay. Answers which went.
create or replace function jobs.remove(p_jobs uuid[]) returns uuid[] language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set enable_nestloop = off as $fn$
declare
    v_waited uuid[] := array(select distinct d.parent from jobs.dependency d where d.parent between p_jobs[1] and p_jobs[cardinality(p_jobs)]);
    v_gone   uuid[];
begin
    if v_waited <> '{}' then
        p_jobs := array(select x.id from unnest(p_jobs) x (id) left join unnest(v_waited) w (id) on w.id = x.id where w.id is null order by x.id);
    end if;
    with gone as (
        delete from jobs.job j where j.id = any (p_jobs) and j.id between p_jobs[1] and p_jobs[cardinality(p_jobs)]
     returning j.id, j.queue, j.kind, j.state, j.rules
    ), attempts as (
        delete from jobs.attempt a where a.job_id = any (p_jobs)
    ), events as (
        delete from jobs.event e where e.job_id = any (p_jobs)
    ), failures as (
        delete from jobs.failed f where f.job_id = any (p_jobs)
    ), members as (
        delete from jobs.batch_member m where m.member = any (array(select g.id from gone g where g.rules is not null))
    ), stats as (
        insert into jobs.stat_delta (queue, kind, left_succeeded, left_failed, left_deleted)
        select g.queue, g.kind, count(*) filter (where g.state = 2), count(*) filter (where g.state = 3), count(*) filter (where g.state = 4)
          from gone g group by 1, 2
    )
    select coalesce(array_agg(g.id order by g.id), '{}') into v_gone from gone g;
    return v_gone;
end
$fn$;

-- Removes some of the jobs between two ids whose time is up.
create or replace function jobs.expire(p_after uuid, p_before uuid, p_succeeded timestamptz, p_failed timestamptz, p_deleted timestamptz, p_limit bigint)
returns uuid[] language plpgsql volatile set jit = off as $fn$
begin
    return jobs.remove(array(
        select j.id from jobs.job j
         where j.id > p_after and j.id < p_before and jobs.is_over(j.state, j.finished_at, j.options, p_succeeded, p_failed, p_deleted)
         order by j.id limit p_limit for update skip locked));
end
$fn$;

-- Removes some of the jobs that say themselves how long they are kept. Answers how many.
create or replace function jobs.expire_by_own_word(p_limit bigint) returns bigint language plpgsql volatile set jit = off as $fn$
declare
    v_due uuid[];
begin
    select coalesce(array_agg(d.id order by d.id), '{}') into v_due
      from (select j.id from jobs.job j
             where (j.options ->> 'keep_for') is not null and jobs.is_over(j.state, j.finished_at, j.options, null, null, null)
             limit p_limit for update skip locked) d;
    return cardinality(jobs.remove(v_due));
end
$fn$;

-- Removes some batches whose time is up; who still waits for the success of one waits in vain. Answers how many.
create or replace function jobs.expire_batches(p_succeeded timestamptz, p_failed timestamptz, p_deleted timestamptz, p_limit int)
returns bigint language plpgsql volatile set jit = off as $fn$
declare
    v_over uuid[];
begin
    v_over := array(
        select b.id from jobs.batch b
         where b.finished_at is not null
           and jobs.is_over(b.outcome, b.finished_at, json_build_object('keep_for', b.keep_for), p_succeeded, p_failed, p_deleted)
           and not exists (select from jobs.batch_delta d where d.batch = b.id)
         order by b.finished_at limit p_limit for update skip locked);
    perform jobs.leave(v_over, 'its batch %s failed and was removed');
    v_over := array(select x.id from unnest(v_over) x (id) where not exists (select from jobs.dependency d where d.parent = x.id));
    delete from jobs.batch_member m where m.batch = any (v_over);
    delete from jobs.batch b where b.id = any (v_over);
    return cardinality(v_over);
end
$fn$;
