-- Which jobs a run no longer owns: $1 ids in ascending order, $2 runs.
select id from jobs.fate(null, $1, $2, null) where fate <> 0
