-- As `job_page_awaiting`, of those only that wait for one job or batch: $1 kind, $2 queue, $3 tag, $4 before, $5 how many,
-- $6 a batch that they are in, $7 for whom they wait.
select j.id, j.kind, j.args, j.queue, j.priority, j.state, j.reason, j.attempt, j.lost::int as lost, j.run, j.options, j.rules,
       j.created_at, j.run_at, j.started_at, j.finished_at, j.result, j.worker, null::boolean as later, null::text as limited_by
  from jobs.dependency d
  join jobs.job j on j.id = d.child and j.state = 1
 where d.parent = $7 and d.child < $4
   and ($1::text is null or j.kind = $1) and ($2::text is null or j.queue = $2)
   and ($3::text is null or j.options is not null and (j.options -> 'tags')::jsonb ? $3)
   and ($6::uuid is null or j.rules ->> 'batch' = $6::uuid::text)
 order by d.child desc
 limit $5
