-- What recurs and has to be looked at now, of the kinds $1, after the place ($2, $3) (null: from the first on), $4 at most;
-- and the first time after now.
select now, next, ids, records from jobs.due_recurring($1, $2, $3, $4)
