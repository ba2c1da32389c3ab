-- Jobs stand in another line: ?1 of [job, limit, key].
update jobs_blocked set limit_name = x.limit_name, key = x.key
  from (select unhex(value ->> 0) as id, value ->> 1 as limit_name, value ->> 2 as key
          from json_each(?1)) x
 where jobs_blocked.job_id = x.id
