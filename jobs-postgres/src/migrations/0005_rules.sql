-- What only jobs with rules pay for: others that they wait for, keys, batches, limits, an end of their patience.

-- The jobs that are Awaiting, to count and list them without looking at all others.
create table jobs.awaiting (
    job_id uuid primary key
);

-- Who waits for whom: `parent` (a job or a batch) has not ended as `condition` says: 0 success, 1 failure, 2 deletion,
-- 3 any. A child's rows change under the lock of the child's body only, save when it is stored.
create table jobs.dependency (
    parent    uuid not null,
    child     uuid not null,
    place     smallint not null,        -- where it stands among the child's parents
    condition smallint not null,
    primary key (parent, child)
) with (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
create index dependency_child on jobs.dependency (child);

-- Final parents whose children could not all be looked at in the transaction that ended them.
create table jobs.todo (
    id     bigint generated always as identity primary key,
    parent uuid not null
);

-- Keys that one job of a kind holds at a time. until: 0 its end, 1 until a worker takes it, 2 `expires_at`, whatever becomes of
-- the job. `expires_at`: when the key is free in any case.
create table jobs.unique_key (
    kind       text collate "C" not null,
    key        text collate "C" not null,
    job_id     uuid not null,
    until      smallint not null,
    expires_at timestamptz,
    primary key (kind, key)
);
create index unique_key_job on jobs.unique_key (job_id);
create index unique_key_expires on jobs.unique_key (expires_at) where expires_at is not null;

-- `outcome` (2 succeeded, 3 failed, 4 deleted) is set while it has ended; only who folds its deltas decides that, under
-- the lock of this row. As long as one is not sealed, none of those in it is: to know whether members are held back is
-- to look at one row. `removed_at` is set once one was not sealed in time: its members go then, some at a time.
create table jobs.batch (
    id           uuid primary key,
    name         text,
    parent       uuid,
    keep_for     json,
    created_at   timestamptz not null default clock_timestamp(),
    sealed_at    timestamptz,
    cancelled_at timestamptz,
    cancelled_by text,
    cancelled_for text,
    removed_at   timestamptz,
    finished_at  timestamptz,
    outcome      smallint,
    total        bigint not null default 0,
    succeeded    bigint not null default 0,
    failed       bigint not null default 0,
    deleted      bigint not null default 0
) with (fillfactor = 50);
-- Those whose members have to be deleted, also if who began it has died; and those that may never be sealed.
create index batch_cancelled on jobs.batch (cancelled_at) where cancelled_at is not null and finished_at is null;
create index batch_unsealed on jobs.batch (created_at) where sealed_at is null and cancelled_at is null;
create index batch_finished on jobs.batch (finished_at) where finished_at is not null;
create index batch_parent on jobs.batch (parent) where parent is not null;

create table jobs.batch_member (
    batch  uuid not null,
    member uuid not null,
    primary key (batch, member)
);
create index batch_member_member on jobs.batch_member (member);

create table jobs.batch_delta (
    id        bigint generated always as identity primary key,
    batch     uuid not null,
    total     int not null default 0,
    succeeded int not null default 0,
    failed    int not null default 0,
    deleted   int not null default 0
) with (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
        vacuum_truncate = false);
create index batch_delta_batch on jobs.batch_delta (batch);

-- Jobs that are Deleted if nobody has started them by then.
create table jobs.expiry (
    job_id     uuid primary key,
    expires_at timestamptz not null,
    expires_in float8 not null
);
create index expiry_due on jobs.expiry (expires_at);

-- How much may run at once, or start within a time: as programs declare it, and as operators have set it, which comes
-- first. kind: 1 at once, 2 fixed window, 3 sliding window, 4 token bucket. excess: 0 wait, 1 reschedule, 2 delete.
create table jobs.limit_def (
    name     text collate "C" primary key,
    declared json,
    set_to   json,
    kind     smallint not null,
    max      bigint not null,
    per      float8,
    burst    bigint,
    excess   smallint not null,
    excess_after float8,
    reason   text not null,             -- of jobs that are rescheduled or deleted for it
    cursor   text collate "C" not null default ''
) with (fillfactor = 70);

-- Jobs that wait to be let into their queues: in the line of one limit, for one of its keys. `ready`: it is due.
create table jobs.blocked (
    job_id     uuid primary key,
    limit_name text collate "C" not null,
    key        text collate "C" not null,
    priority   smallint not null,
    run_at     timestamptz not null,
    queue      text collate "C" not null,
    ready      boolean not null
) with (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
create index blocked_line on jobs.blocked (limit_name, key, priority, run_at, job_id) where ready;
create index blocked_later on jobs.blocked (run_at) where not ready;

-- What jobs have of limits. Of a sliding window it stays (`ended`) until it counts no more.
create table jobs.permit (
    limit_name text collate "C" not null,
    key        text collate "C" not null,
    job_id     uuid not null,
    run        int not null,
    weight     int not null,
    admitted_at timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    ended      boolean not null default false,
    primary key (limit_name, key, job_id, run)
) with (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
create index permit_job on jobs.permit (job_id);

-- Starts of fixed windows (`at` is the window's start) and tokens that token buckets held at `at`.
create table jobs.bucket (
    limit_name text collate "C" not null,
    key        text collate "C" not null,
    at         timestamptz not null,
    amount     float8 not null,
    primary key (limit_name, key)
) with (fillfactor = 50);

-- What a parent that has ended (2 succeeded, 3 failed, 4 deleted) means for a child: 0 it waits on, 1 it waits no more, 2 it
-- never runs. A Failed parent may be run again, so who needs its success waits on.
create or replace function jobs.verdict(condition smallint, side smallint) returns int language sql immutable as $fn$
    select case when side is null or side < 2 then 0
                when condition = 3 or condition + 2 = side then 1
                when condition = 0 and side = 3 then 0
                else 2 end
$fn$;

-- The queues that have a limit of their own. Every claim asks; a function in plain SQL would be planned each time.
create or replace function jobs.limited_queues() returns text[] language plpgsql stable as $fn$
begin
    return array(select substr(l.name, 7) from jobs.limit_def l where l.name >= 'queue:' and l.name < 'queue;');
end
$fn$;

-- The limits that a job counts against, in order; the limit of its queue comes first.
create or replace function jobs.limits_of(p_queue text, p_rules json)
returns table (place int, name text, key text, weight int, rule json) language sql stable as $fn$
    select l.place::int, l.used -> 'rule' ->> 'name', l.used ->> 'key', (l.used ->> 'weight')::int, l.used -> 'rule'
      from json_array_elements(p_rules -> 'limits') with ordinality l (used, place)
     union all
    select 0, d.name, '', 1, null from jobs.limit_def d
     where d.name = 'queue:' || p_queue
       and not exists (select from json_array_elements(p_rules -> 'limits') l (used) where l.used -> 'rule' ->> 'name' = 'queue:' || p_queue)
     order by 1
$fn$;
