-- The first ?3 jobs in state ?1 that finished by ?2 and do not say themselves how long they are kept.
select id from jobs_job
 where state = ?1 and finished_at <= ?2 and keep_for is null
 order by finished_at
 limit ?3
