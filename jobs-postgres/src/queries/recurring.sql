-- The recurring job $1.
select id, record::text as record from jobs.recurring where id = $1
