-- What there is to do at ?1: the latest time at which jobs became due; and whether jobs or keys are over, lines
-- before limits are to be looked at, or a batch has been incomplete since ?2.
select coalesce((select value from jobs_meta where key = 'clock'), 0),
       exists (select 1 from jobs_expiry where expires_at <= ?1)
       or exists (select 1 from jobs_unique_key where expires_at <= ?1)
       or exists (select 1 from jobs_line where look_at <= ?1)
       or exists (select 1 from jobs_blocked where ready = 0 and run_at <= ?1)
       or exists (select 1 from jobs_batch where sealed_at is null and created_at <= ?2)
