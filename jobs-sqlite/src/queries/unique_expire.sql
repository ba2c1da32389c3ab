-- Keys whose time is up at ?1.
delete from jobs_unique_key where expires_at <= ?1
