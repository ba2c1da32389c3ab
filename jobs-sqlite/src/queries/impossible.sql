-- Jobs that wait for what cannot happen any more: ?1 of [job, reason]. They end at ?2.
update jobs_job
   set state = 'deleted', run = jobs_job.run + 1, pending = 0, reason = x.reason, finished_at = ?2,
       settled = 0
  from (select unhex(value ->> 0) as id, value ->> 1 as reason from json_each(?1)) x
 where jobs_job.id = x.id and jobs_job.state = 'awaiting'
