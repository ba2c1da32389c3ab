-- The queues that have tickets or running jobs, with what is due at ?1 and what will be, of one moment.
select name, sum(enqueued), sum(scheduled), min(oldest), sum(processing)
  from (select queue as name, sum(run_at <= ?1) as enqueued, sum(run_at > ?1) as scheduled,
               min(iif(run_at <= ?1, run_at, null)) as oldest, 0 as processing
          from jobs_ticket group by queue
        union all
        select queue, sum(run_at <= ?1), sum(run_at > ?1), min(iif(run_at <= ?1, run_at, null)), 0
          from jobs_blocked group by queue
        union all
        select j.queue, 0, 0, null, 1
          from jobs_claim c cross join json_each(c.jobs) x
         cross join jobs_job j on j.id = unhex(x.value ->> 0) and j.run = x.value ->> 1 and j.state = 'waiting')
 group by name
 order by name
