-- The first time after ?1 at which something of the kinds ?2 (an array) has to be looked at.
select look_at from jobs_recurring
 where look_at > ?1 and kind in (select value from json_each(?2))
 order by look_at
 limit 1
