-- The first ?2 finished jobs with a time of their own that is up at ?1.
select id from jobs_job
 where keep_for is not null and finished_at is not null and finished_at + keep_for <= ?1
 limit ?2
