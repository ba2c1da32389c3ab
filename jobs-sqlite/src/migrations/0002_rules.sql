-- What jobs ask for beyond a due time. Jobs that ask for nothing have no row in any of these.

-- For whom a job waits: a row for each parent that has not ended as it should (yet).
create table jobs_dependency (
    parent    blob    not null,
    child     blob    not null,
    condition text    not null check (condition in ('success', 'failure', 'deletion', 'any')),
    is_batch  integer not null,
    place     integer not null,
    primary key (parent, child)
) strict, without rowid;
create index jobs_dependency_of_child on jobs_dependency (child, place);

create index jobs_job_awaiting on jobs_job (id) where state = 'awaiting';

-- Keys that only one job of a kind holds at a time. `expires_at`: when it is free in any case.
create table jobs_unique_key (
    kind       text not null,
    key        text not null,
    job_id     blob not null,
    expires_at integer,
    primary key (kind, key)
) strict, without rowid;
create index jobs_unique_key_expiry on jobs_unique_key (expires_at) where expires_at is not null;

-- Batches. There is one writer at a time, so members are counted in place.
create table jobs_batch (
    id           blob    not null primary key check (length(id) = 16),
    name         text,
    parent       blob,
    keep_for     integer,
    created_at   integer not null,
    sealed_at    integer,
    cancelled_at integer,
    finished_at  integer,
    total        integer not null default 0,
    succeeded    integer not null default 0,
    failed       integer not null default 0,
    deleted      integer not null default 0
) strict, without rowid;
create index jobs_batch_parent on jobs_batch (parent) where parent is not null;
create index jobs_batch_unsealed on jobs_batch (created_at) where sealed_at is null;
create index jobs_batch_finished on jobs_batch (finished_at) where finished_at is not null;

create table jobs_member (
    batch  blob not null,
    job_id blob not null,
    primary key (batch, job_id)
) strict, without rowid;

-- When jobs are over that have not been started.
create table jobs_expiry (
    expires_at integer not null,
    job_id     blob    not null,
    primary key (expires_at, job_id)
) strict, without rowid;

-- How much may run at once, or start within a time. `declared`: as programs say it, `chosen`: as an operator
-- has set it, both JSON of [bound, excess]. `for_queue`: it counts all jobs of a queue, whether or not they
-- name it. `served`: the key that was served last.
create table jobs_limit (
    name      text    not null primary key,
    declared  text,
    chosen    text,
    for_queue integer not null default 0,
    served    text
) strict, without rowid;
create index jobs_limit_for_queue on jobs_limit (name) where for_queue = 1;

-- The lines of jobs that wait for a limit: of those that are due (`ready`), and of those that will be.
create table jobs_blocked (
    limit_name text    not null,
    key        text    not null,
    ready      integer not null,
    priority   integer not null,
    run_at     integer not null,
    job_id     blob    not null,
    queue      text    not null,
    kind       text    not null,
    primary key (limit_name, key, ready, priority, run_at, job_id)
) strict, without rowid;
create unique index jobs_blocked_job on jobs_blocked (job_id);
create index jobs_blocked_later on jobs_blocked (run_at) where ready = 0;

-- When to look at a line although nobody in it has come or gone: a window is over, tokens have come back.
create table jobs_line (
    limit_name text    not null,
    key        text    not null,
    look_at    integer not null,
    primary key (limit_name, key)
) strict, without rowid;
create index jobs_line_look on jobs_line (look_at);

-- What jobs that were let in use of their limits. `started_at`: it counts by its start, until its window is
-- over; else until the run ends.
create table jobs_permit (
    limit_name text    not null,
    key        text    not null,
    job_id     blob    not null,
    run        integer not null,
    weight     integer not null,
    started_at integer,
    primary key (limit_name, key, job_id, run)
) strict, without rowid;
create index jobs_permit_job on jobs_permit (job_id);
create index jobs_permit_started on jobs_permit (started_at) where started_at is not null;

-- The tokens that a bucket had at a time. One without a row is full.
create table jobs_bucket (
    limit_name text    not null,
    key        text    not null,
    tokens     real    not null,
    at         integer not null,
    primary key (limit_name, key)
) strict, without rowid;
