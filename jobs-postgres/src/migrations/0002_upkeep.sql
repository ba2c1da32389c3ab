-- Ids, and the partitions: made ahead, emptied of what is over, dropped.

-- The smallest id of an instant.
create or replace function jobs.id_floor(at timestamptz) returns uuid language sql immutable parallel safe as $fn$
    select (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
$fn$;

-- A new job's id: UUIDv7 with microseconds, so that jobs created in a row stay in order.
create or replace function jobs.new_id() returns uuid language sql volatile as $fn$
    select (lpad(to_hex(us / 1000), 12, '0') || '7' || lpad(to_hex((us % 1000) * 4), 3, '0')
            || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid
      from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as us) now
$fn$;

-- Long arguments and results are compressed with lz4 where the server can (14 and later, if built with it): what pglz
-- takes for that is as much as all else that storing such a job takes.
create or replace function jobs.compress_quickly(name text) returns void language plpgsql as $fn$
begin
    execute format('alter table jobs.%I alter column args set compression lz4, alter column result set compression lz4', name);
exception when syntax_error or feature_not_supported then
    null;
end
$fn$;
select jobs.compress_quickly('job_default');

-- Makes the partition of one day (UTC), with what has landed in the default partition of it meanwhile. Answers false
-- if there are so many of those that moving them would take long: that day then stays in the default.
create or replace function jobs.make_day(day date) returns boolean language plpgsql set lock_timeout = '20ms' as $fn$
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

-- A stored time in seconds. What is longer than three centuries is as good as that, and can be reckoned with: an instant that
-- the calendar does not have would fail whole statements, which are about others too.
create or replace function jobs.seconds(p_time json) returns float8 language sql immutable parallel safe as $fn$
    select case when t.secs < 1e10 then t.secs when t.secs is not null then 1e10 end
      from (select (p_time ->> 'secs')::float8 + (p_time ->> 'nanos')::float8 / 1e9) t (secs)
$fn$;

-- Whether a job's time is up: of a state that is kept until these instants, or by its own word.
create or replace function jobs.is_over(state smallint, finished_at timestamptz, options json, succeeded_before timestamptz,
                             failed_before timestamptz, deleted_before timestamptz) returns boolean language sql stable as $fn$
    select state in (2, 3, 4) and finished_at <= case
        when (options ->> 'keep_for') is not null
        then now() - make_interval(secs => jobs.seconds(options -> 'keep_for'))
        when state = 2 then succeeded_before when state = 3 then failed_before else deleted_before end
$fn$;

-- Empties the partition of one day of the jobs whose time is up, when that is nearly all of them: by truncating it and
-- putting the others back. Answers how many went; -1 if too many would stay. Locks that cannot be had at once: 55P03.
create or replace function jobs.empty_day(day date, succeeded_before timestamptz, failed_before timestamptz, deleted_before timestamptz)
returns bigint language plpgsql volatile set lock_timeout = '20ms'
    -- Those that stay may be many: they are looked up in a hash table, and not gone through for each row of a day.
    set enable_nestloop = off as $fn$
declare
    leaf     text := 'job_' || to_char(day, 'YYYYMMDD');
    low      uuid := jobs.id_floor(day::timestamp at time zone 'UTC');
    high     uuid := jobs.id_floor((day + 1)::timestamp at time zone 'UTC');
    stay     uuid[];
    began    timestamptz := clock_timestamp();
    gone     bigint;
    found    boolean;
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
    -- An operator who puts a finished job back writes an event; who does so just now may not be seen until the lock is
    -- had.
    create temp table jobs_counted (queue text, kind text, state smallint, n bigint) on commit drop;
    execute format('insert into jobs_counted select queue, kind, state, count(*) from jobs.%I j where not exists (select from unnest($1) s (id) where s.id = j.id) group by 1, 2, 3', leaf)
      using stay;
    execute format('lock table jobs.%I in access exclusive mode', leaf);
    -- Whom somebody still waits for stays, and all others with him, until that is settled.
    if exists (select from jobs.dependency d
                where d.parent >= low and d.parent < high and not exists (select from unnest(stay) s (id) where s.id = d.parent))
       or exists (select from jobs.event e where e.job_id >= low and e.job_id < high and e.at > began - interval '1 hour') then
        drop table jobs_counted;
        return 0;
    end if;
    -- A transaction that was open for as long as jobs are kept may have stored one since it was looked. Who has not ended is in one
    -- of these places, and to go through them is less than to go through a whole day once more while nobody can work.
    execute format(
        'select exists (
            select from (select t.job_id from jobs.ticket t where t.job_id >= $2 and t.job_id < $3
                          union all
                         select b.job_id from jobs.blocked b where b.job_id >= $2 and b.job_id < $3
                          union all
                         select a.job_id from jobs.awaiting a where a.job_id >= $2 and a.job_id < $3
                          union all
                         select x.id from jobs.claim c cross join lateral unnest(c.job_ids, c.runs) x (id, run)
                          where x.id >= $2 and x.id < $3 and (select j.state from jobs.%I j where j.id = x.id and j.run = x.run) = 0) w
             where not exists (select from unnest($1) s (id) where s.id = w.job_id))', leaf)
       into found using stay, low, high;
    if found then
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
    delete from jobs.attempt a
     where a.job_id >= low and a.job_id < high and not exists (select from unnest(stay) s (id) where s.id = a.job_id);
    delete from jobs.event e
     where e.job_id >= low and e.job_id < high and not exists (select from unnest(stay) s (id) where s.id = e.job_id);
    delete from jobs.failed f
     where f.job_id >= low and f.job_id < high and not exists (select from unnest(stay) s (id) where s.id = f.job_id);
    delete from jobs.batch_member m
     where m.member >= low and m.member < high and not exists (select from unnest(stay) s (id) where s.id = m.member);
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
create or replace function jobs.drop_day(day date) returns boolean language plpgsql volatile set lock_timeout = '20ms' as $fn$
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
