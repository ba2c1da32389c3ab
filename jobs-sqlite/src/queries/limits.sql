-- Every limit, with how many wait for it.
select name, declared, chosen,
       (select count(*) from jobs_blocked b where b.limit_name = jobs_limit.name and b.ready = 1)
  from jobs_limit order by name
