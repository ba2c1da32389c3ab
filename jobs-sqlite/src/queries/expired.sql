-- The first ?4 jobs after ?2, ?3 whose time to be started is over at ?1. `waits`: it has its place.
select e.expires_at, e.job_id, j.state, j.rules,
       j.attempt = 0 and j.lost = 0 and j.started_at is null and j.state in ('waiting', 'awaiting') as untouched,
       exists (select 1 from jobs_ticket t
                where t.queue = j.queue and t.priority = j.priority and t.run_at = j.due_at
                  and t.job_id = j.id and t.run = j.run)
       or exists (select 1 from jobs_blocked b where b.job_id = j.id) as waits
  from jobs_expiry e left join jobs_job j on j.id = e.job_id
 where e.expires_at <= ?1 and (e.expires_at, e.job_id) > (?2, ?3)
 order by e.expires_at, e.job_id
 limit ?4
