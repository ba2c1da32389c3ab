-- Witnesses for invariants.sql: what happened to jobs, limits and batches, written down by triggers.

create table jobs.ended (job_id uuid, run int, kind text, state smallint);
create index on jobs.ended (job_id);
create function jobs.note_end() returns trigger language plpgsql as $fn$
begin
    insert into jobs.ended values (old.id, old.run, old.kind, new.state);
    return null;
end
$fn$;
create trigger note_end after update on jobs.job for each row when (old.run <> new.run) execute function jobs.note_end();

create table jobs.removed (job_id uuid);
create function jobs.note_removal() returns trigger language plpgsql as $fn$
begin
    insert into jobs.removed values (old.id);
    return null;
end
$fn$;
create trigger note_removal after delete on jobs.job for each row when (old.rules is not null) execute function jobs.note_removal();
create trigger note_removal after delete on jobs.batch for each row execute function jobs.note_removal();

-- The starts that a sliding window counts. One that was made twice would be found by its time.
create table jobs.began (limit_name text, key text, job_id uuid, run int, at timestamptz, weight int, primary key (limit_name, key, job_id, run));
create function jobs.note_start() returns trigger language plpgsql as $fn$
begin
    insert into jobs.began values (new.limit_name, new.key, new.job_id, new.run, new.started_at, new.weight);
    return null;
end
$fn$;
create trigger note_start after update on jobs.permit for each row
    when (old.started_at is null and new.started_at is not null) execute function jobs.note_start();

-- Batches that were opened again and have nothing to wait for: they stay open until something is added.
create table jobs.reopened (batch uuid primary key, total bigint);
create function jobs.note_reopening() returns trigger language plpgsql as $fn$
begin
    insert into jobs.reopened values (new.id, new.total) on conflict (batch) do update set total = excluded.total;
    return null;
end
$fn$;
create trigger note_reopening after update on jobs.batch for each row
    when ((old.finished_at is not null and new.finished_at is null or old.cancelled_at is not null and new.cancelled_at is null)
          and new.total <= new.succeeded + new.failed + new.deleted) execute function jobs.note_reopening();

-- Batches that had ended when a member was added. (Who opens one again does so first; who requeues a member opens it.)
create table jobs.late_member (batch uuid);
create function jobs.note_late_member() returns trigger language plpgsql as $fn$
begin
    insert into jobs.late_member values (new.id);
    return null;
end
$fn$;
create trigger note_late_member after update on jobs.batch for each row
    when (old.outcome is not null and new.total > old.total) execute function jobs.note_late_member();
