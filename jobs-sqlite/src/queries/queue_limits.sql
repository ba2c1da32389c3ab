-- The queues that have a limit.
select substr(name, 7) from jobs_limit where for_queue = 1
