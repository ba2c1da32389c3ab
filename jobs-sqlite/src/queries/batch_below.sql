-- Batch ?1 and those in it that have not ended.
with recursive below (id) as (
    select ?1
    union all
    select b.id from below cross join jobs_batch b on b.parent = below.id where b.finished_at is null
)
select id from below
