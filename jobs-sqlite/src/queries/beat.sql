-- Worker ?1 lives at ?2, unless it was declared dead.
update jobs_worker set beat = beat + 1, beat_at = ?2 where id = ?1 and dead_at is null
