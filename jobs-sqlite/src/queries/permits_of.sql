-- What the jobs ?1 (ids) hold of limits, by their places in it; starts aside.
select x.key, p.limit_name, p.key, p.run, p.weight
  from json_each(?1) x cross join jobs_permit p on p.job_id = unhex(x.value)
 where p.started_at is null
