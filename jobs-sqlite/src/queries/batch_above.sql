-- Batch ?1 and those that it is in.
with recursive above (id) as (
    select ?1
    union all
    select b.parent from above cross join jobs_batch b on b.id = above.id where b.parent is not null
)
select id from above
