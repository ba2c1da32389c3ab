-- The lanes that tickets are in.
select queue, priority from jobs.lanes_in_use()
