-- Who waits for a job of ?1 (ids), none of which will run again.
select j.id, j.queue, j.kind, d.parent
  from json_each(?1) x
 cross join jobs_dependency d on d.parent = unhex(x.value)
 cross join jobs_job j on j.id = d.child
