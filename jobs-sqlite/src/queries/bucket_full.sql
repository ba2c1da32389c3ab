-- Forgets buckets of limit ?1 that are full at ?2: ?3 tokens come back in a microsecond, and ?4 is all they hold. ?5 at most.
delete from jobs_bucket
 where limit_name = ?1
   and key in (select key from jobs_bucket where limit_name = ?1 and tokens + (?2 - at) * ?3 >= ?4 limit ?5)
