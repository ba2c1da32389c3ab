-- What an Awaiting job still waits for: $1 its id.
select d.parent, d.condition, exists (select from jobs.batch b where b.id = d.parent) as batch
  from jobs.dependency d where d.child = $1 order by d.place
