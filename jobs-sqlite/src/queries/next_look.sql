-- When somebody may be let in although nobody comes or goes.
select min(at)
  from (select min(look_at) as at from jobs_line
        union all
        select min(run_at) from jobs_blocked where ready = 0)
