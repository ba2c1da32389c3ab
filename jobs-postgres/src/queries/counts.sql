-- How many jobs stand where. The final ones are counted as they come and go, not by looking at them.
select t.scheduled + b.scheduled as scheduled, t.enqueued + b.enqueued as enqueued, c.processing, a.awaiting,
       s.succeeded + d.succeeded as succeeded, s.failed + d.failed as failed, s.deleted + d.deleted as deleted
  from jobs.stat_standing s
 cross join (select count(*) filter (where run_at > now()) as scheduled, count(*) filter (where run_at <= now()) as enqueued
               from jobs.ticket) t
 cross join (select count(*) filter (where run_at > now()) as scheduled, count(*) filter (where run_at <= now()) as enqueued
               from jobs.blocked) b
 cross join (select count(*) as awaiting from jobs.awaiting) a
 cross join (select count(*) as processing
               from jobs.claim c cross join lateral unnest(c.job_ids, c.runs) x (id, run)
               join jobs.job j on j.id = x.id and j.run = x.run and j.state = 0) c
 cross join (select coalesce(sum(succeeded - left_succeeded), 0)::bigint as succeeded,
                    coalesce(sum(failed - left_failed), 0)::bigint as failed,
                    coalesce(sum(deleted - left_deleted), 0)::bigint as deleted
               from jobs.stat_delta) d
