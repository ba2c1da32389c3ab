-- The first ?5 tickets of lane ?1, ?2 that are due at ?3 and whose kind is not among ?4, with the bodies.
-- A ticket whose job has moved on is void: it comes without a body and goes with the others.
select t.job_id, t.run_at, t.run, t.kind, j.args, j.options, j.attempt, j.lost, j.rules
  from jobs_ticket t
  left join jobs_job j on j.id = t.job_id and j.run = t.run and j.state = 'waiting'
 where t.queue = ?1 and t.priority = ?2 and t.run_at <= ?3
   and t.kind not in (select value from json_each(?4))
 order by t.run_at, t.job_id
 limit ?5
