-- Ends the claims ?1 (ids) of worker ?2, all of whose jobs have been answered. One that still owns a run
-- stays, whatever the worker believes: without it the job would be nowhere.
delete from jobs_claim
 where id in (select unhex(value) from json_each(?1)) and worker = ?2
   and not exists (
       select 1 from json_each(jobs_claim.jobs) x
        cross join jobs_job j on j.id = unhex(x.value ->> 0) and j.run = x.value ->> 1
          and j.state = 'waiting')
