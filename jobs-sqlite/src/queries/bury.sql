-- Declares worker ?1 dead at ?3 if its beat is still ?2; one that is dead stays so.
update jobs_worker set dead_at = coalesce(dead_at, ?3) where id = ?1 and beat = ?2
returning suspect
