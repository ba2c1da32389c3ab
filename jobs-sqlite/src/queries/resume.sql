-- Queue ?1 goes on.
delete from jobs_queue where name = ?1
