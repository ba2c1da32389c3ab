-- An operator sets limit ?1 to ?2, or nothing; ?3: it is a queue's.
insert into jobs_limit (name, chosen, for_queue) values (?1, ?2, ?3)
on conflict (name) do update set chosen = excluded.chosen
