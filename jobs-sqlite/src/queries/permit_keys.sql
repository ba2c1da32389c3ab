-- The keys that are counted by limit ?1.
select key from jobs_permit where limit_name = ?1
union
select key from jobs_bucket where limit_name = ?1
