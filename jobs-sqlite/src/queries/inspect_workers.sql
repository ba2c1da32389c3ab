-- The workers that have not retired, and those that died after ?1, with what they hold; oldest first.
select w.info, w.started_at, w.beat_at, w.dead_at,
       (select count(*)
          from jobs_claim c cross join json_each(c.jobs) x
         cross join jobs_job j on j.id = unhex(x.value ->> 0) and j.run = x.value ->> 1
           and j.state = 'waiting'
         where c.worker = w.id) as processing
  from jobs_worker w
 where w.dead_at is null or w.dead_at >= ?1
 order by w.started_at, w.id
