-- The body of a job is written once and never moves; where a job stands is which small table names it.
-- Times are microseconds since 1970, by the clock of the machine. `jobs_` is replaced by the table prefix.

-- One row a job. `run` is the number of the current ownership: who ends one raises it. `settled`: the last
-- ownership was ended by its `worker`, not by an operator or a rescue.
-- `rules`: when and whether it runs, as JSON. `pending`: for how many others it waits; null with jobs that
-- have nothing of the kind.
-- Without rowid: ids ascend, so new bodies are appended, and one tree is kept instead of two.
create table jobs_job (
    id          blob    not null primary key check (length(id) = 16),
    kind        text    not null,
    args        text    not null,
    queue       text    not null,
    priority    integer not null,
    options     text,
    rules       text,
    pending     integer,
    keep_for    integer,
    -- The usual ones apart: to look through a list takes a fifth of the time of an insert.
    state       text    not null default 'waiting'
                check (state = 'waiting' or state = 'succeeded' or state in ('awaiting', 'failed', 'deleted')),
    run         integer not null default 0,
    attempt     integer not null default 0,
    lost        integer not null default 0,
    due_at      integer not null,
    created_at  integer not null,
    started_at  integer,
    finished_at integer,
    worker      blob,
    settled     integer not null default 0,
    reason      text,
    result      text
) strict, without rowid;

-- In the order in which they go. New entries come at the end of their state, so this is cheap; ids would
-- not do: those of a process whose clock once stood at next year are years ahead.
create index jobs_job_finished on jobs_job (state, finished_at)
 where finished_at is not null and keep_for is null;
create index jobs_job_kept on jobs_job (finished_at + keep_for)
 where finished_at is not null and keep_for is not null;
-- What is worth looking at.
create index jobs_job_ended_badly on jobs_job (state, id) where state in ('failed', 'deleted');

-- One row for each job that waits to run, now or later. A ticket with another `run` than its job is void.
create table jobs_ticket (
    queue    text    not null,
    priority integer not null,
    run_at   integer not null,
    job_id   blob    not null,
    run      integer not null,
    kind     text    not null,
    primary key (queue, priority, run_at, job_id)
) strict, without rowid;

-- A job is stored with its ticket by one statement: a caller that gives up between two statements of a
-- transaction of its own could otherwise commit the one without the other. Jobs with rules are stored in a transaction within it.
create trigger jobs_ticket_of_new_job after insert on jobs_job
  when new.state = 'waiting' and new.pending is null begin
    insert into jobs_ticket (queue, priority, run_at, job_id, run, kind)
    values (new.queue, new.priority, new.due_at, new.id, new.run, new.kind);
end;

create table jobs_tag (
    tag    text not null,
    job_id blob not null,
    primary key (tag, job_id)
) strict, without rowid;

create trigger jobs_tag_of_new_job after insert on jobs_job when new.options is not null begin
    insert or ignore into jobs_tag (tag, job_id)
    select tag.value, new.id from json_each(new.options, '$.tags') tag;
end;

-- One row a claimed batch: `jobs` is a JSON array of [job id in hex, run].
create table jobs_claim (
    id         blob    not null unique check (length(id) = 16),
    worker     blob    not null,
    claimed_at integer not null,
    jobs       text    not null
) strict;
create index jobs_claim_of_worker on jobs_claim (worker, id);

-- One row a start of a worker process. The dead are kept for a day.
create table jobs_worker (
    id         blob    not null primary key check (length(id) = 16),
    info       text    not null,
    beat       integer not null default 0,
    started_at integer not null,
    beat_at    integer not null,
    dead_at    integer,
    suspect    blob
) strict, without rowid;

-- One row for each attempt that did not succeed.
create table jobs_attempt (
    job_id      blob    not null,
    run         integer not null,
    number      integer not null,
    worker      blob,
    started_at  integer,
    finished_at integer not null,
    outcome     text    not null,
    reason      text    not null,
    error       text,
    unique (job_id, run)
) strict;

-- One row for each thing that an operator did to a job.
create table jobs_event (
    seq        integer primary key,
    job_id     blob    not null,
    at         integer not null,
    verb       text    not null,
    actor      text    not null,
    reason     text,
    from_state text    not null,
    to_state   text    not null
) strict;
create index jobs_event_of_job on jobs_event (job_id, seq);

-- What all workers are told: the queues (or patterns of queues, `mail.*`) and kinds that are paused
-- (scope `queue`, `kind`), and the order in which queues are to be served (scope `order`, name '', value
-- JSON). A row whose end has come counts no more.
create table jobs_control (
    scope   text    not null,
    name    text    not null,
    value   text,
    actor   text    not null,
    reason  text,
    since   integer not null,
    ends_at integer,
    primary key (scope, name)
) strict, without rowid;

-- What they were told, and what was done to recurring jobs (scope `recurring`, name its id), and by whom.
create table jobs_control_event (
    seq     integer primary key,
    at      integer not null,
    verb    text    not null,
    scope   text    not null,
    name    text    not null,
    value   text,
    ends_at integer,
    actor   text    not null,
    reason  text
) strict;

-- What happened in each minute. There is one writer at a time, so rows are added to in place.
create table jobs_stat_minute (
    minute     integer not null,
    queue      text    not null,
    kind       text    not null,
    succeeded  integer not null default 0,
    failed     integer not null default 0,
    deleted    integer not null default 0,
    retried    integer not null default 0,
    run_millis integer not null default 0,
    primary key (minute, queue, kind)
) strict, without rowid;

-- How many jobs are in each final state, so that nobody has to count millions of them.
create table jobs_tally (
    state text    not null primary key,
    n     integer not null
) strict, without rowid;
insert into jobs_tally values ('succeeded', 0), ('failed', 0), ('deleted', 0);

-- A run that succeeded within a transaction of the application's own is inserted here: body and counters
-- change by one statement, or, if the run is not the worker's any more, nothing does.
create view jobs_completion (job_id, run, claim, worker, result, reason, started_at, finished_at, minute,
                             run_millis)
as select null, null, null, null, null, null, null, null, null, null where false;

create trigger jobs_complete instead of insert on jobs_completion begin
    select raise(abort, 'this run is not the worker''s any more')
     where not exists (
           select 1 from jobs_job j cross join jobs_claim c on c.id = new.claim and c.worker = new.worker
            where j.id = new.job_id and j.run = new.run and j.state = 'waiting');
    insert into jobs_stat_minute (minute, queue, kind, succeeded, run_millis)
    select new.minute, queue, kind, 1, new.run_millis from jobs_job where id = new.job_id
        on conflict (minute, queue, kind) do update
       set succeeded = succeeded + 1, run_millis = run_millis + excluded.run_millis;
    update jobs_tally set n = n + 1 where state = 'succeeded';
    update jobs_job
       set state = 'succeeded', run = run + 1, attempt = attempt + 1, reason = new.reason,
           result = new.result, started_at = new.started_at, finished_at = new.finished_at,
           worker = new.worker, settled = 1
     where id = new.job_id;
end;
