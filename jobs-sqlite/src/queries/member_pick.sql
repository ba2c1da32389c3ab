-- The first ?3 members of batch ?1 after ?2.
select job_id from jobs_member where batch = ?1 and job_id > ?2 order by job_id limit ?3
