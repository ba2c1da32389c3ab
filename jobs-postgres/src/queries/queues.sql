-- Every queue that has waiting or running jobs, or is paused by its own name.
with waiting as (
    select queue, count(*) filter (where run_at <= now()) as enqueued, count(*) filter (where run_at > now()) as scheduled,
           min(run_at) filter (where run_at <= now()) as oldest_due
      from (select queue, run_at from jobs.ticket union all select queue, run_at from jobs.blocked) w group by queue
), running as (
    select j.queue, count(*) as processing
      from jobs.claim c cross join lateral unnest(c.job_ids, c.runs) x (id, run)
      join jobs.job j on j.id = x.id and j.run = x.run and j.state = 0
     group by j.queue
), paused as (
    select name, actor, reason, since, ends_at
      from jobs.control where scope = 'queue' and (ends_at is null or ends_at > now())
), names as (
    select queue as name from waiting union select queue from running union select name from paused where right(name, 1) <> '*'
)
select n.name, p.since, p.actor, p.reason, p.ends_at, coalesce(w.enqueued, 0) as enqueued, coalesce(w.scheduled, 0) as scheduled,
       coalesce(r.processing, 0) as processing, w.oldest_due
  from names n
  left join waiting w on w.queue = n.name
  left join running r on r.queue = n.name
  left join lateral (select * from paused p
                      where p.name = n.name or (right(p.name, 1) = '*' and starts_with(n.name, left(p.name, -1)))
                      order by p.name = n.name desc, p.name limit 1) p on true
 order by 1
