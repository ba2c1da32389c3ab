-- One job, and where it stands: $1 its id.
select j.id, j.kind, j.args, j.queue, j.priority, j.state, j.reason, j.attempt, j.lost::int as lost, j.run, j.options, j.rules,
       j.created_at, j.run_at, j.started_at, j.finished_at, j.result,
       case when j.state <> 0 then null
            when exists (select from jobs.ticket t
                          where t.queue = j.queue and t.priority = j.priority and t.run_at = j.run_at and t.job_id = j.id)
            or j.rules is not null and exists (select from jobs.blocked b where b.job_id = j.id)
            then j.run_at > clock_timestamp() end as later,
       case when j.state = 0 and j.rules is not null then (select b.limit_name from jobs.blocked b where b.job_id = j.id and j.run_at <= clock_timestamp()) end as limited_by,
       case when j.state <> 0 then j.worker
            else coalesce((select c.worker from jobs.claim c
                            where j.id = any (c.job_ids)
                              and c.runs[array_position(c.job_ids, j.id)] = j.run limit 1), j.worker) end as worker
  from jobs.job j
 where j.id = $1
