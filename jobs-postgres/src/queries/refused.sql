-- Why outcomes were refused: $1 worker, $2 ids in ascending order, $3 runs, $4 their claims. 0 it is still this run and
-- claim (somebody has locked it), 1 this worker has settled it before, 2 it is another's.
select id, run, fate from jobs.fate($1, $2, $3, $4)
