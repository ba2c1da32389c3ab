-- Where the jobs ?1 (ids) stand that are stored.
select j.id, j.state from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
