-- What the bucket of limit ?1 and key ?2 has (?3) at ?4.
insert into jobs_bucket (limit_name, key, tokens, at) values (?1, ?2, ?3, ?4)
on conflict (limit_name, key) do update set tokens = excluded.tokens, at = excluded.at
