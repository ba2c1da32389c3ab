-- Removes what recurs under the ids $1, which is locked.
delete from jobs.recurring where id = any ($1)
