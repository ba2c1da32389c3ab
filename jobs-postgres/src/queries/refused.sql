-- Why outcomes were refused: $1 ids, $2 runs, $3 worker, $4 the smallest id, $5 the greatest, $6 their claims.
-- 0 it is still this run and claim (somebody has locked it), 1 this worker has settled it before, 2 it is another's.
select x.id, x.run,
       case when j.run = x.run and j.state = 0 and exists (select from jobs.claim c where c.worker = $3 and c.id = x.claim) then 0
            when j.settled and j.worker = $3 and j.run = x.run + 1 then 1
            else 2 end as why
  from unnest($1::uuid[], $2::int[], $6::uuid[]) x (id, run, claim)
  left join jobs.job j on j.id = x.id and j.id between $4 and $5
