-- The recurring job ?1.
select record from jobs_recurring where id = ?1
