-- Makes or replaces what recurs: an element of ?1 each, [id, version, kind, look_at, record].
insert into jobs_recurring (id, version, kind, look_at, record)
select value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4 from json_each(?1)
 where true
    on conflict (id) do update
   set version = excluded.version, kind = excluded.kind, look_at = excluded.look_at, record = excluded.record
