-- Ends claims, if nothing is held under them any more: $1 worker, $2 claims.
select jobs.close($1, $2)::text
