-- The bodies of claimed jobs that the claim itself could not read: $1 ids, $2 runs, $3 the smallest id, $4 the greatest.
select j.id, j.args, j.options, j.attempt, j.lost::int as lost
  from unnest($1::uuid[], $2::int[]) x (id, run)
  join jobs.job j on j.id = x.id and j.run = x.run and j.state = 0 and j.id between $3 and $4
