-- An operator's verb: $1 verb, $2 jobs, $3 who, $4 why, $5 due at, $6 or in so many seconds, $7 whether to wait for
-- locks.
select job, answer, from_state, to_state, queue, priority, holder from jobs.command($1, $2, $3, $4, $5, $6, $7)
