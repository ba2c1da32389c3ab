-- What jobs use of their limits: ?1 of [limit, key, job, weight].
insert into jobs_permit (limit_name, key, job_id, run, weight)
select x.value ->> 0, x.value ->> 1, j.id, j.run, x.value ->> 3
  from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value ->> 2)
 where true
on conflict do update set weight = excluded.weight
