-- Jobs that have not ended are Deleted at ?2: ?1 of [job, reason].
update jobs_job
   set state = 'deleted', run = jobs_job.run + 1, pending = 0, reason = x.reason, finished_at = ?2,
       settled = 0
  from (select unhex(value ->> 0) as id, value ->> 1 as reason from json_each(?1)) x
 where jobs_job.id = x.id and jobs_job.state in ('waiting', 'awaiting')
returning queue, kind
