-- Which of the jobs $1, all between $2 and $3, are not final.
select j.id from jobs.job j where j.id = any ($1) and j.id between $2 and $3 and j.state < 2
