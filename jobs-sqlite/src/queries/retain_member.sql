-- The jobs ?1 (ids) are members of no batch.
delete from jobs_member
 where (batch, job_id) in (
       select unhex(j.rules ->> '$.batch', '-'), j.id
         from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
        where j.rules is not null)
