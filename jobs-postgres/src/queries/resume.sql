-- Resumes a queue: $1 name.
with resumed as (
    delete from jobs.queue where name = $1 returning name
)
select pg_notify('jobs:jobs', 'q') from resumed
