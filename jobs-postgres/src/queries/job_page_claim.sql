-- As `job_page`, of jobs that workers hold (Processing): $1 kind, $2 queue, $3 tag, $4 before, $5 how many, $6
-- a batch.
select j.id, j.kind, j.args, j.queue, j.priority, j.state, j.reason, j.attempt, j.lost::int as lost, j.run, j.options, j.rules,
       j.created_at, j.run_at, j.started_at, j.finished_at, j.result, c.worker, null::boolean as later, null::text as limited_by
  from jobs.claim c
 cross join lateral unnest(c.job_ids, c.runs) x (id, run)
  join jobs.job j on j.id = x.id and j.run = x.run and j.state = 0
 where x.id < $4
   and ($1::text is null or j.kind = $1) and ($2::text is null or j.queue = $2)
   and ($3::text is null or j.options is not null and (j.options -> 'tags')::jsonb ? $3)
   and ($6::uuid is null or j.rules ->> 'batch' = $6::uuid::text)
 order by x.id desc
 limit $5
