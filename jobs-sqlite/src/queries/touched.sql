-- Those of the jobs ?1 (ids) whose end concerns others: they have rules, or hold something of a limit, or
-- somebody waits for them.
select j.id, j.kind, j.rules, j.created_at
  from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
 where j.rules is not null
    or exists (select 1 from jobs_dependency d where d.parent = j.id)
    or exists (select 1 from jobs_permit p where p.job_id = j.id)
