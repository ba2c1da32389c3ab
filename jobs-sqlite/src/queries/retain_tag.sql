-- The tags of the jobs ?1 (ids).
delete from jobs_tag
 where (tag, job_id) in (
       select tag.value, j.id
         from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
        cross join json_each(j.options, '$.tags') tag
        where j.options is not null)
