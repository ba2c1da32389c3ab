-- Ends the claims of worker ?1 that own nothing any more.
delete from jobs_claim
 where worker = ?1 and not exists (
       select 1 from json_each(jobs_claim.jobs) x
        cross join jobs_job j on j.id = unhex(x.value ->> 0) and j.run = x.value ->> 1
          and j.state = 'waiting')
