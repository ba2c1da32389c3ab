-- A batch: ?1 id, ?2 name, ?3 parent, ?4 keep_for, ?5 now, ?6 when it was sealed.
insert into jobs_batch (id, name, parent, keep_for, created_at, sealed_at)
values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (id) do nothing
