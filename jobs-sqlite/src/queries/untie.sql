-- Takes the tickets of the jobs ?1 (ids) away, before their bodies change.
delete from jobs_ticket
 where (queue, priority, run_at, job_id) in (
       select j.queue, j.priority, j.due_at, j.id
         from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value))
