-- Remembers the latest time (?1) at which jobs became due, roughly: should the clock step back, those jobs
-- would otherwise wait for it to come round again.
update jobs_meta set value = ?1 where key = 'clock' and value < ?1 - 250000
