-- Forgets the buckets of limit ?1, if there is none of that name any more.
delete from jobs_bucket where limit_name = ?1 and not exists (select 1 from jobs_limit where name = ?1)
