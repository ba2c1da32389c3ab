-- Folds what happened into its minutes: $1 the delta after which to begin, $2 how many at most. One process at a time.
with gone as (
    delete from jobs.stat_delta where ctid = any (array(
        select d.ctid from jobs.stat_delta d
         where d.id > $1 and (select pg_try_advisory_xact_lock(hashtext('jobs:jobs'), 1))
         order by d.id limit $2 for update skip locked))
 returning *
), minutes as (
    insert into jobs.stat_minute as m (minute, queue, kind, succeeded, failed, deleted, retried, run_millis)
    select date_trunc('minute', at), queue, kind, sum(succeeded), sum(failed), sum(deleted), sum(retried), sum(run_millis)
      from gone where succeeded + failed + deleted + retried > 0 group by 1, 2, 3 order by 1, 2, 3
        on conflict (minute, queue, kind) do update
       set succeeded = m.succeeded + excluded.succeeded, failed = m.failed + excluded.failed,
           deleted = m.deleted + excluded.deleted, retried = m.retried + excluded.retried,
           run_millis = m.run_millis + excluded.run_millis
), standing as (
    update jobs.stat_standing s
       set succeeded = s.succeeded + d.succeeded, failed = s.failed + d.failed, deleted = s.deleted + d.deleted
      from (select sum(succeeded - left_succeeded) as succeeded, sum(failed - left_failed) as failed,
                   sum(deleted - left_deleted) as deleted
              from gone having count(*) > 0) d
)
select count(*) as folded, max(id) as last from gone
