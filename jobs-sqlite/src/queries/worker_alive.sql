-- Whether worker ?1 is registered and not declared dead.
select 1 from jobs_worker where id = ?1 and dead_at is null
