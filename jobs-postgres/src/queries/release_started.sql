-- Frees the unique keys that are held only until a worker takes the job: $1 the jobs.
delete from jobs.unique_key where job_id = any ($1) and until = 1
