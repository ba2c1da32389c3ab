-- Takes due tickets and puts them into a claim, in one statement that waits for nobody.
--   $1 worker, $2 the claim's id, $3 limit, $4 kinds to leave, $5 the limit of each share,
--   $6-$10 lanes in the order in which they are to be emptied: share, queue, priority, floor (run_at or null, job_id)
--   $11, $12 the ids among which most bodies are
-- Nested loops over unnest are lazy and keep its order: a lane is not looked at, and nothing of it locked, once the
-- limits are reached. No sort may come between.
with pick as materialized (
    select got.place
      from unnest($5::int[]) with ordinality share (want, number)
     cross join lateral (
        select due.place
          from unnest($6::int[], $7::text[], $8::int2[], $9::timestamptz[], $10::uuid[])
               lane (share, queue, priority, floor_at, floor_id)
         cross join lateral (
            select t.ctid as place
              from jobs.ticket t
             where t.queue = lane.queue and t.priority = lane.priority
               and (t.run_at, t.job_id) > (coalesce(lane.floor_at, '-infinity'), lane.floor_id)
               and t.run_at <= now() and t.kind <> all ($4::text[])
             order by t.run_at, t.job_id
             limit share.want
               for update skip locked) due
         where lane.share = share.number
           and not exists (select from jobs.queue q where q.name = lane.queue and q.paused_at is not null)
         limit share.want) got
     where exists (select from jobs.worker w where w.id = $1 and w.dead_at is null)
     limit $3::int
), gone as materialized (
    delete from jobs.ticket where ctid = any (array(select place from pick))
 returning queue, priority, run_at, job_id, run, kind
), held as (
    insert into jobs.claim (worker, id, claimed_at, job_ids, runs)
    select $1, $2, now(), array_agg(job_id), array_agg(run) from gone having count(*) > 0
)
select g.queue, g.priority, g.run_at, g.job_id, g.run, g.kind, j.args, j.options, j.attempt, j.lost::int as lost,
       s.*
       -- A crash of the server may lose a claim: its tickets are then back. Nothing waits for the disk.
  from (select set_config('synchronous_commit', 'off', true) as durability,
               pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin,
               pg_snapshot_xmax(pg_current_snapshot())::text::bigint as xmax,
               now() as now,
               array(select q.name from jobs.queue q where q.paused_at is not null) as paused) s
  left join gone g on true
       -- The ticket was alive when it was locked, so the body of this snapshot is the current one.
  left join jobs.job j on j.id = g.job_id and j.id between $11 and $12 and j.run = g.run and j.state = 0
