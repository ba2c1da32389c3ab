-- Replaces what recurs, which is locked, or makes it ($6) where nobody else has; answers which were made.
-- $1 id, $2 version, $3 kind, $4 when to look at it, $5 everything.
with given as materialized (
    select * from unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::bool[])
        x (id, version, kind, look_at, record, is_new)
), replaced as (
    update jobs.recurring r set version = g.version, kind = g.kind, look_at = g.look_at, record = g.record::json
      from given g where r.id = g.id and not g.is_new
), made as (
    insert into jobs.recurring (id, version, kind, look_at, record)
    select g.id, g.version, g.kind, g.look_at, g.record::json from given g where g.is_new order by g.id
        on conflict (id) do nothing
 returning id
)
select id from made
