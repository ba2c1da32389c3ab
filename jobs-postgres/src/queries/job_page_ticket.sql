-- As `job_page`, of jobs with a ticket, or in the line of a limit: $1 whether due later (Scheduled) or by now (Enqueued), $2
-- kind, $3 queue, $4 tag, $5 before, $6 how many, $7 a batch.
select j.id, j.kind, j.args, j.queue, j.priority, j.state, j.reason, j.attempt, j.lost::int as lost, j.run, j.options, j.rules,
       j.created_at, j.run_at, j.started_at, j.finished_at, j.result, j.worker, $1::boolean as later,
       case when not $1::boolean then t.limit_name end as limited_by
  from (select job_id, run, run_at, queue, null as limit_name from jobs.ticket
         union all
        select job_id, null, run_at, queue, limit_name from jobs.blocked) t
  join jobs.job j on j.id = t.job_id and j.run = coalesce(t.run, j.run) and j.state = 0
 where t.job_id < $5 and (t.run_at > now()) = $1
   and ($2::text is null or j.kind = $2) and ($3::text is null or t.queue = $3)
   and ($4::text is null or j.options is not null and (j.options -> 'tags')::jsonb ? $4)
   and ($7::uuid is null or j.rules ->> 'batch' = $7::uuid::text)
 order by t.job_id desc
 limit $6
