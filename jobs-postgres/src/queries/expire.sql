-- Removes some jobs whose time is up, with their history: $1 the id after which to begin, $2 the id before which to
-- end, $3-$5 until when succeeded, failed, deleted jobs are kept, $6 how many at most.
with due as materialized (
    select j.id from jobs.job j
     where j.id > $1 and j.id < $2 and jobs.is_over(j.state, j.finished_at, j.options, $3, $4, $5)
     order by j.id limit $6 for update skip locked
), gone as (
    delete from jobs.job j using due where j.id = due.id and j.id > $1 and j.id < $2
 returning j.id, j.queue, j.kind, j.state
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
select array(select id from gone order by id) as ids
