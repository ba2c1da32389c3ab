-- Writes down a limit: $1 its name, $2 as it is declared, $3 as it is set, $4 whether it is not set any more, $5 and
-- $6 which operator does it, and why.
select jobs.write_limit($1, $2::text::json, $3::text::json, $4, $5, $6)
