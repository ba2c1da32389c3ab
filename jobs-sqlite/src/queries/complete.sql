-- Ends one run that succeeded, in a transaction of the application's own; the triggers of the view do it.
insert into jobs_completion (job_id, run, claim, worker, result, reason, started_at, finished_at, minute,
                             run_millis)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
