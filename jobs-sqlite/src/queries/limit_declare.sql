-- Programs declare limit ?1 as ?2; ?3: it is a queue's.
insert into jobs_limit (name, declared, for_queue) values (?1, ?2, ?3)
on conflict (name) do update set declared = excluded.declared
