-- Jobs that match, newest first: $1 what state they are in (0 waiting, 1 awaiting, 2 succeeded, 3 failed, 4 deleted) or
-- null, $2 the kind, $3 the queue, $4 a tag, $5 the id before which to begin, $6 how many.
-- $7 is the batch of `job_page_batch`, and null here.
select j.id, j.kind, j.args, j.queue, j.priority, j.state, j.reason, j.attempt, j.lost::int as lost, j.run, j.options, j.rules,
       j.created_at, j.run_at, j.started_at, j.finished_at, j.result, j.worker,
       case when j.state <> 0 then null
            when exists (select from jobs.ticket t
                          where t.queue = j.queue and t.priority = j.priority and t.run_at = j.run_at and t.job_id = j.id)
            or j.rules is not null and exists (select from jobs.blocked b where b.job_id = j.id)
            then j.run_at > clock_timestamp() end as later,
       case when j.state = 0 and j.rules is not null then (select b.limit_name from jobs.blocked b where b.job_id = j.id and j.run_at <= clock_timestamp()) end as limited_by
  from jobs.job j
 where $7::uuid is null and j.id < $5 and ($1::int2 is null or j.state = $1)
   and ($2::text is null or j.kind = $2) and ($3::text is null or j.queue = $3)
   and ($4::text is null or j.options is not null and (j.options -> 'tags')::jsonb ? $4)
 order by j.id desc
 limit $6
