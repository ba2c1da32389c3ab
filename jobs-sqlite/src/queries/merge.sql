-- Jobs that wait become what others, which were not stored, would have been: ?1 of
-- [job, args, queue, priority, options, keep_for, due_at, rules].
update jobs_job
   set args = x.args, queue = x.queue, priority = x.priority, options = x.options, keep_for = x.keep_for,
       due_at = coalesce(x.due_at, jobs_job.due_at), rules = x.rules, run = jobs_job.run + 1, settled = 0
  from (select unhex(value ->> 0) as id, value ->> 1 as args, value ->> 2 as queue,
               value ->> 3 as priority, value ->> 4 as options, value ->> 5 as keep_for,
               value ->> 6 as due_at, value ->> 7 as rules
          from json_each(?1)) x
 where jobs_job.id = x.id and jobs_job.state in ('waiting', 'awaiting')
