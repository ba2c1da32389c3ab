-- When to look at lines again: ?1 of [limit, key, look_at].
insert into jobs_line (limit_name, key, look_at)
select value ->> 0, value ->> 1, value ->> 2 from json_each(?1)
 where true
on conflict (limit_name, key) do update set look_at = min(look_at, excluded.look_at)
