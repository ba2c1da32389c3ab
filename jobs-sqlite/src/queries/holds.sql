-- Whether run ?2 of job ?1 is worker ?4's, under claim ?3.
select 1 from jobs_job j cross join jobs_claim c on c.id = ?3 and c.worker = ?4
 where j.id = ?1 and j.run = ?2 and j.state = 'waiting'
