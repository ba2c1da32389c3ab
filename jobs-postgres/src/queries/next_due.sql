-- Seconds until the first job in some lanes is due: $1 queues, $2 priorities, $3 and $4 where each lane was seen empty,
-- $5 kinds that do not count.
select extract(epoch from min(first.run_at) - clock_timestamp())::float8 as wait
  from unnest($1::text[], $2::int2[], $3::timestamptz[], $4::uuid[]) lane (queue, priority, floor_at, floor_id)
 cross join lateral (
    select t.run_at from jobs.ticket t
     where t.queue = lane.queue and t.priority = lane.priority
       and (t.run_at, t.job_id) > (coalesce(lane.floor_at, '-infinity'), lane.floor_id)
       and t.kind <> all ($5::text[])
     order by t.run_at, t.job_id
     limit 1) first
 where not exists (select from jobs.queue q where q.name = lane.queue and q.paused_at is not null)
