-- Who waits for the jobs or batches ?1 (ids), and how they must end.
select d.parent, d.child, d.condition, d.is_batch
  from json_each(?1) x cross join jobs_dependency d on d.parent = unhex(x.value)
