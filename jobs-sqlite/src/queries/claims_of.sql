-- The claims of worker ?1.
select id from jobs_claim where worker = ?1 order by id
