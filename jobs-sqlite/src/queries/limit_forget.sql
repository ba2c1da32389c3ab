-- Limit ?1 is none, if nobody says anything of it.
delete from jobs_limit where name = ?1 and declared is null and chosen is null
