-- What the bucket of limit ?1 and key ?2 had, and when.
select tokens, at from jobs_bucket where limit_name = ?1 and key = ?2
