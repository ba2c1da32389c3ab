-- The places in ?1 (ids) of the jobs that were stored before, not just now (at ?2).
select x.key from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
 where j.created_at <> ?2
