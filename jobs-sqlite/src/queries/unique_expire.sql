-- Keys whose time is up at ?1; ?2 of them at most.
delete from jobs_unique_key
 where (kind, key) in (select kind, key from jobs_unique_key where expires_at <= ?1 limit ?2)
