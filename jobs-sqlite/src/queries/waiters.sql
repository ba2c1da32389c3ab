-- Who waits for the jobs and batches ?1 (ids): jobs for their parents, batches for their members. [who is waited
-- for, whether that is a batch, who waits, whether that is a batch]
select d.parent, d.is_batch, d.child, 0
  from json_each(?1) x cross join jobs_dependency d on d.parent = unhex(x.value)
union all
select j.id, 0, unhex(j.rules ->> '$.batch', '-'), 1
  from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
 where j.rules ->> '$.batch' is not null
union all
select b.id, 1, b.parent, 1
  from json_each(?1) x cross join jobs_batch b on b.id = unhex(x.value)
 where b.parent is not null
