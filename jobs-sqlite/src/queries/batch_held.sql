-- Whether batch ?1, or one around it, is not complete.
with recursive above (id, parent, sealed_at) as (
    select id, parent, sealed_at from jobs_batch where id = ?1
    union all
    select b.id, b.parent, b.sealed_at from above cross join jobs_batch b on b.id = above.parent
)
select exists (select 1 from above where sealed_at is null)
