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
