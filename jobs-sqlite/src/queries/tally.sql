-- Adds to the number of jobs in each final state: ?1 of [state, n].
update jobs_tally set n = jobs_tally.n + x.n
  from (select value ->> 0 as state, value ->> 1 as n from json_each(?1)) x
 where jobs_tally.state = x.state
