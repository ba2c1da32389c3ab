-- The tables: jobs, where they wait, who holds them, what became of them.
-- The schema's name stands here as `jobs` and is replaced when this is run; so is the channel 'jobs:jobs'.

create table jobs.schema_version (
    version    int primary key,
    applied_at timestamptz not null default now()
);

-- One row for each job, for as long as it is kept. It is written when the job is created and when a run ends; where a
-- waiting job stands is said by which of the tables below names it, so that no index covers what changes here. state: 0
-- waiting (ticket, claim, or line before a limit), 1 awaiting (other jobs), 2 succeeded, 3 failed, 4 deleted run:   the number of the current
-- ownership; raised by whatever ends one. A ticket or an entry of a claim with another number is void. Ids are UUIDv7:
-- partitions by day are ranges of ids. A row changes once in most lives, and should find room for that on its own page:
-- then the index is not touched. At a fillfactor of 42 all of them do (at 70 a third), with a third less WAL, and the
-- table and its index together are smaller than with less room.
create table jobs.job (
    id          uuid not null,
    created_at  timestamptz not null default clock_timestamp(),
    run_at      timestamptz not null,
    started_at  timestamptz,
    finished_at timestamptz,
    run         int not null default 0,
    attempt     int not null default 0,
    pending     int,                    -- of an awaiting job: how many parents it waits for
    lost        smallint not null default 0,
    priority    smallint not null default 0,
    state       smallint not null default 0,
    settled     boolean not null default false, -- whether the run before this one ended with an outcome, of `worker`
    worker      uuid,
    kind        text collate "C" not null,
    queue       text collate "C" not null,
    args        json not null,          -- not jsonb: the text must come back as it was given
    options     json,
    rules       json,                   -- null for most jobs; then nothing but the tables below knows of the job
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

-- What all workers are told: the queues (or patterns of queues, `mail.*`) and kinds that are paused (scope `queue`,
-- `kind`), and the order in which queues are to be served (scope `order`, name '', value JSON). A row whose end has come
-- counts no more.
create table jobs.control (
    scope   text collate "C" not null,
    name    text collate "C" not null,
    value   text,
    actor   text not null,
    reason  text,
    since   timestamptz not null default clock_timestamp(),
    ends_at timestamptz,
    primary key (scope, name)
);

-- What they were told, what was done to recurring jobs (scope `recurring`, name its id) and to limits (scope `limit`, value
-- what it was set to), and by whom.
create table jobs.control_event (
    id      bigint generated always as identity primary key,
    at      timestamptz not null default clock_timestamp(),
    verb    text not null,
    scope   text not null,
    name    text not null,
    value   text,
    ends_at timestamptz,
    actor   text not null,
    reason  text
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
