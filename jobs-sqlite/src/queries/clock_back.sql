-- The clock was set back to ?1.
update jobs_meta set value = ?1 where key = 'clock'
