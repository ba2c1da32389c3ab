-- The tags that the jobs ?1 (ids) are given now.
insert or ignore into jobs_tag (tag, job_id)
select tag.value, j.id
  from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
 cross join json_each(j.options, '$.tags') tag
 where j.options is not null
