-- How many jobs stand where at ?1.
select state, n from jobs_tally
union all
select 'enqueued', (select count(*) from jobs_ticket where run_at <= ?1)
                 + (select count(*) from jobs_blocked where run_at <= ?1)
union all
select 'scheduled', (select count(*) from jobs_ticket where run_at > ?1)
                  + (select count(*) from jobs_blocked where run_at > ?1)
union all
select 'processing', count(*)
  from jobs_claim c cross join json_each(c.jobs) x
 cross join jobs_job j on j.id = unhex(x.value ->> 0) and j.run = x.value ->> 1 and j.state = 'waiting'
union all
select 'awaiting', count(*) from jobs_job where state = 'awaiting'
