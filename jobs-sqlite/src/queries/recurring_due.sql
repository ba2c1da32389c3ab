-- What recurs and has to be looked at by ?1, of the kinds ?4 (an array), after the place (?2, ?3), ?5 at most.
select id, record from jobs_recurring
 where look_at <= ?1 and (look_at, id) > (?2, ?3) and kind in (select value from json_each(?4))
 order by look_at, id
 limit ?5
