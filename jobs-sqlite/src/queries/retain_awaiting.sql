-- Who waits for the jobs or batches ?1 (ids), none of which will run again.
select d.child, d.parent, d.is_batch
  from json_each(?1) x cross join jobs_dependency d on d.parent = unhex(x.value)
