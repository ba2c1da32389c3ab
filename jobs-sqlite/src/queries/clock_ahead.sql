-- Tickets that fell due before the clock stepped back: later than now (?1), not later than the latest time
-- at which jobs became due (?2, remembered roughly).
select hex(job_id), queue from jobs_ticket where run_at > ?1 and run_at <= ?2 + 1000000
