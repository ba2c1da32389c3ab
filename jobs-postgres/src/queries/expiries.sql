-- Jobs that may have to be deleted because nobody has started them: $1 how many.
select job_id, expires_in from jobs.expiry where expires_at <= clock_timestamp() order by expires_at limit $1
