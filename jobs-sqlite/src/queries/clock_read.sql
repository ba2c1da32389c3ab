-- The latest time at which jobs became due.
select value from jobs_meta where key = 'clock'
