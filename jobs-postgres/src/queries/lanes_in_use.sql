-- The lanes that tickets are in: one step of an index scan for each.
with recursive lane (queue, priority) as (
    (select queue, priority from jobs.ticket order by queue, priority limit 1)
    union all
    select next.queue, next.priority
      from lane
     cross join lateral (
        select t.queue, t.priority from jobs.ticket t
         where (t.queue, t.priority) > (lane.queue, lane.priority)
         order by t.queue, t.priority limit 1) next
)
select queue, priority from lane
