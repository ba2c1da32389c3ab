-- Every (queue, priority) that has tickets, with the time of its first, by jumps from lane to lane. A jump
-- names the whole key, behind the last that the lane can have: SQLite would walk through the lane if it
-- named only the first two columns. The plus signs take away an affinity that would keep it from using more
-- than one.
with recursive lane (queue, priority, run_at) as (
    select * from (
        select queue, priority, run_at from jobs_ticket
         where queue >= '' order by queue, priority, run_at, job_id limit 1)
    union all
    select next.queue, next.priority, next.run_at
      from lane cross join jobs_ticket next
        on (next.queue, next.priority, next.run_at, next.job_id) = (
           select queue, priority, run_at, job_id from jobs_ticket t
            where (t.queue, t.priority, t.run_at, t.job_id)
                > (+lane.queue, +lane.priority, 9223372036854775807, x'ff')
            order by queue, priority, run_at, job_id limit 1)
)
select lane.queue, lane.priority, lane.run_at from lane
