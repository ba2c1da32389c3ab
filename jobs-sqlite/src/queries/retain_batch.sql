-- The first ?5 batches that have ended and whose time is up at ?1; ?2, ?3, ?4: until when those may have ended
-- that Succeeded, Failed and were cancelled and do not say themselves how long they are kept.
select id from jobs_batch
 where finished_at <= ?1
   and case when keep_for is not null then finished_at + keep_for <= ?1
            when cancelled_at is not null then finished_at <= ?4
            when failed > 0 then finished_at <= ?3
            else finished_at <= ?2 end
 limit ?5
