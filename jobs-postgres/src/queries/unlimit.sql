-- Lets those go on who wait for a limit that is gone: $1 its name.
select true as ruled, queues, priorities from jobs.unlimit($1)
