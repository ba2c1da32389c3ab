-- Every queue that has waiting jobs or is paused.
select coalesce(t.queue, q.name) as name, q.paused_at, q.paused_by, q.reason,
       coalesce(t.enqueued, 0) as enqueued, coalesce(t.scheduled, 0) as scheduled, t.oldest_due
  from (select queue, count(*) filter (where run_at <= now()) as enqueued, count(*) filter (where run_at > now()) as scheduled,
               min(run_at) filter (where run_at <= now()) as oldest_due
          from jobs.ticket group by queue) t
  full join (select * from jobs.queue where paused_at is not null) q on q.name = t.queue
 order by 1
