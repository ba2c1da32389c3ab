-- Removes some jobs that say themselves how long they are kept, with their history: $1 how many at most.
with due as materialized (
    select j.id from jobs.job j
     where (j.options ->> 'keep_for') is not null and jobs.is_over(j.state, j.finished_at, j.options, null, null, null)
     limit $1 for update skip locked
), gone as (
    delete from jobs.job j using due where j.id = due.id returning j.id, j.queue, j.kind, j.state
), attempts as (
    delete from jobs.attempt a using gone where a.job_id = gone.id
), events as (
    delete from jobs.event e using gone where e.job_id = gone.id
), failures as (
    delete from jobs.failed f using gone where f.job_id = gone.id
), stats as (
    insert into jobs.stat_delta (queue, kind, left_succeeded, left_failed, left_deleted)
    select queue, kind, count(*) filter (where state = 2), count(*) filter (where state = 3), count(*) filter (where state = 4)
      from gone group by 1, 2
)
select count(*) as gone from gone
