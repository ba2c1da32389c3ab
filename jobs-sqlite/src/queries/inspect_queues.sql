-- The queues that have tickets or are paused, with what is due at ?1 and what will be.
select name, sum(enqueued), sum(scheduled), min(oldest), max(paused_by), max(reason), max(paused_at)
  from (select queue as name, sum(run_at <= ?1) as enqueued, sum(run_at > ?1) as scheduled,
               min(iif(run_at <= ?1, run_at, null)) as oldest, null as paused_by, null as reason,
               null as paused_at
          from jobs_ticket group by queue
        union all
        select name, 0, 0, null, paused_by, reason, paused_at from jobs_queue)
 group by name
 order by name
