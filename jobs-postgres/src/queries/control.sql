-- Tells all workers something: $1 verb, $2 scope, $3 name, $4 value, $5 or $6 when or in how many seconds it ends, $7 who,
-- $8 why.
select pg_notify('jobs:jobs', 'q') from jobs.control($1, $2, $3, $4, $5, $6, $7, $8)
