-- For whom job ?1 waits, in the order in which they were given.
select parent, is_batch, condition from jobs_dependency where child = ?1 order by place
