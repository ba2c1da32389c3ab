-- Batch ?1 and those in it, each after the one around it; ?2: those only that have not ended.
with recursive below (id, depth) as (
    select ?1, 0
    union all
    select b.id, below.depth + 1
      from below cross join jobs_batch b on b.parent = below.id
     where not ?2 or b.finished_at is null
     order by 2
)
select id from below
