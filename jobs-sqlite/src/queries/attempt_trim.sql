-- Of the snoozes of the jobs ?1 (ids) only the last 100 are kept: a job may snooze for ever.
delete from jobs_attempt
 where (job_id, run) in (
       select unhex(x.value),
              (select a.run from jobs_attempt a
                where a.job_id = unhex(x.value) and a.outcome = 'snoozed'
                order by a.run desc limit 1 offset 100)
         from json_each(?1) x)
