-- Every worker that has not retired, and those that died within a day; how many jobs each holds.
select w.info, w.started_at, w.beat_at, w.dead_at,
       (select count(*) from jobs.claim c cross join lateral unnest(c.job_ids, c.runs) x (id, run)
          join jobs.job j on j.id = x.id and j.run = x.run and j.state = 0
         where c.worker = w.id) as processing
  from jobs.worker w
 where w.retired_at is null and (w.dead_at is null or w.dead_at > now() - interval '1 day')
 order by w.started_at, w.id
