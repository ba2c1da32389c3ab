-- Locks what recurs under the ids $1, without waiting: what another is changing has no version here.
with locked as materialized (
    select r.id, r.version from jobs.recurring r where r.id = any ($1) order by r.id for update skip locked
)
select r.id, l.version from jobs.recurring r left join locked l on l.id = r.id where r.id = any ($1)
