-- Which jobs a run no longer owns: $1 ids, $2 runs, $3 the smallest id, $4 the greatest.
select x.id
  from unnest($1::uuid[], $2::int[]) x (id, run)
  left join jobs.job j on j.id = x.id and j.id between $3 and $4
 where j.run is distinct from x.run or j.state <> 0
