-- A batch and those in it: $1.
with recursive down (id) as (
    select $1::uuid
     union all
    select b.id from down join jobs.batch b on b.parent = down.id
)
select id from down
