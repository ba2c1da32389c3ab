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

-- Keys that only one job of a kind holds at a time. `expires_at`: until when, whatever becomes of the job.
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
