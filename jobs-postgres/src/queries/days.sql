-- The days that have a partition.
select to_date(right(c.relname, 8), 'YYYYMMDD') as day
  from pg_inherits i
  join pg_class c on c.oid = i.inhrelid
 where i.inhparent = 'jobs.job'::regclass and c.relname ~ '^job_[0-9]{8}$'
 order by 1
