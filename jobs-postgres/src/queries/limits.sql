-- Every limit, how much of it is used, and how many wait for it.
select d.name, d.declared, d.set_to,
       (select coalesce(sum(jobs.used(d.name, d.kind, d.max, d.per, d.burst, k.key, clock_timestamp())), 0)::float8
          from (select key from jobs.permit where limit_name = d.name union select key from jobs.bucket where limit_name = d.name) k) as used,
       (select count(*) from jobs.blocked b where b.limit_name = d.name and b.ready) as waiting
  from jobs.limit_def d
 order by d.name
