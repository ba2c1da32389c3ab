-- The queues that are paused.
select name from jobs_queue
