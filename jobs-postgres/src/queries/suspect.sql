-- Notes which job a worker is about to start although another one died with it: $1 worker, $2 job or null.
update jobs.worker set suspect = $2 where id = $1
