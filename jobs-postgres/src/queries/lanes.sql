-- The lanes that somebody has announced.
select distinct queue, priority from jobs.lane
