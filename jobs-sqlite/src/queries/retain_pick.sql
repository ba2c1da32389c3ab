-- The first ?6 finished jobs after ?1 and before ?2 whose time is up: Succeeded before ?3, Failed before ?4,
-- Deleted before ?5.
select id from jobs_job
 where id > ?1 and id < ?2 and keep_for is null
   and finished_at <= case state when 'succeeded' then ?3 when 'failed' then ?4 when 'deleted' then ?5 end
 order by id
 limit ?6
