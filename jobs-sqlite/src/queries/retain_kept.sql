-- The first ?2 finished jobs with a time of their own that is up at ?1.
select id from jobs_job
 where finished_at + keep_for <= ?1 and finished_at is not null and keep_for is not null
 order by finished_at + keep_for
 limit ?2
