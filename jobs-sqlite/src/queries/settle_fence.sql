-- Which of the runs ?1 (of [job, run, claim]) worker ?2 may not settle: the run is over, or the claim is
-- not the worker's (any more). `mine`: it was this worker that ended it. And those whose end concerns
-- others: they have rules, or hold something of a limit, or somebody waits for them.
select x.at,
       (j.run = x.run and j.state = 'waiting'
        and exists (select 1 from jobs_claim c where c.id = x.claim and c.worker = ?2)) is not true as refused,
       j.run = x.run + 1 and j.worker is ?2 and j.settled as mine
  from (select key as at, unhex(value ->> 0) as id, value ->> 1 as run, unhex(value ->> 2) as claim
          from json_each(?1)) x
  left join jobs_job j on j.id = x.id
 where refused or j.rules is not null
    or (exists (select 1 from jobs_dependency where parent >= x'')
        and exists (select 1 from jobs_dependency d where d.parent = j.id))
    or (exists (select 1 from jobs_permit where limit_name >= '')
        and exists (select 1 from jobs_permit p where p.job_id = j.id))
