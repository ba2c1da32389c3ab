-- Which of the jobs ?1 (ids) are not final.
select j.id from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
 where j.state in ('waiting', 'awaiting')
