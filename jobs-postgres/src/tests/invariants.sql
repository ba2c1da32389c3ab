-- What may not be: each statement must find nothing. A line `-- name (when): what it would be` begins each. When:
--   always    in every snapshot, whoever is at work: each method of the storage is one transaction
--   settled   when nobody is at work and what is left for later (`todo`, deltas) has been done
--   rescued   when, besides, all workers are dead
--   drained   when, besides, all that could run has run
-- `jobs.ended`, `jobs.removed`, `jobs.began`, `jobs.reopened` and `jobs.late_member` are written by the triggers of audit.sql.

-- I0 (always): a run that ended twice
select job_id || ' run ' || run from jobs.ended group by job_id, run having count(*) > 1

-- I0b (always): a job whose ends are not as many as its runs
select j.id::text from jobs.job j where j.run <> (select count(*) from jobs.ended e where e.job_id = j.id)

-- I1 (always): a waiting job that is not in exactly one place: a ticket, an entry of a claim, a line before a limit
with tickets as (
    select t.job_id as id, count(*) as n from jobs.ticket t
      join jobs.job j on (j.queue, j.priority, j.run_at, j.id, j.run) = (t.queue, t.priority, t.run_at, t.job_id, t.run) group by 1
), entries as (
    select x.id, x.run, count(*) as n
      from jobs.claim c join jobs.worker w on w.id = c.worker cross join lateral unnest(c.job_ids, c.runs) x (id, run) group by 1, 2
)
select format('%s of %s: %s tickets, %s claims, %s lines; %s', id, queue, tickets, claims, lines, rules)
  from (select j.id, j.queue, j.rules, coalesce(t.n, 0) as tickets, coalesce(e.n, 0) as claims, (b.job_id is not null)::int as lines
          from jobs.job j
          left join tickets t on t.id = j.id
          left join entries e on e.id = j.id and e.run = j.run
          left join jobs.blocked b on b.job_id = j.id
         where j.state = 0) p
 where tickets + claims + lines <> 1

-- I2 (always): a ticket that is void
select t.job_id::text from jobs.ticket t
  left join jobs.job j on j.id = t.job_id and j.run = t.run and j.state = 0 and (j.queue, j.priority, j.run_at) = (t.queue, t.priority, t.run_at)
 where j.id is null

-- I2b (always): a place in a line of a job that does not wait
select b.job_id::text from jobs.blocked b left join jobs.job j on j.id = b.job_id and j.state = 0 where j.id is null

-- I2c (always): a list of the Awaiting, or of the Failed, that is not right
select coalesce(a.job_id, j.id)::text from jobs.awaiting a full join (select id from jobs.job where state = 1) j on j.id = a.job_id
 where a.job_id is null or j.id is null
 union all
select coalesce(f.job_id, j.id)::text from jobs.failed f full join (select id from jobs.job where state = 3) j on j.id = f.job_id
 where f.job_id is null or j.id is null

-- I3 (always): a claim without a worker
select c.id::text from jobs.claim c left join jobs.worker w on w.id = c.worker where w.id is null

-- I3b (rescued): a claim of somebody dead
select c.id::text from jobs.claim c join jobs.worker w on w.id = c.worker where w.dead_at is not null or w.retired_at is not null

-- I4 (always): a job whose count of parents is not that of its dependencies
select format('%s: %s, not %s', j.id, j.pending, (select count(*) from jobs.dependency d where d.child = j.id))
  from jobs.job j where j.state = 1 and j.pending is distinct from (select count(*) from jobs.dependency d where d.child = j.id)::int

-- I4b (settled): an Awaiting job that waits for nothing
select j.id::text from jobs.job j
 where j.state = 1 and j.pending <= 0
   and not exists (select from jobs.batch b where b.id = (j.rules ->> 'batch')::uuid and b.sealed_at is null and b.finished_at is null)

-- I4c (always): a dependency of a job that does not wait for others
select d.child::text from jobs.dependency d left join jobs.job j on j.id = d.child and j.state = 1 where j.id is null

-- I5 (settled): a job that waits for what has ended as it should, or never will
select format('%s waits for %s', d.child, d.parent) from jobs.dependency d
  left join jobs.job p on p.id = d.parent left join jobs.batch b on b.id = d.parent
 where p.id is null and b.id is null or jobs.verdict(d.condition, coalesce(p.state, b.outcome)) <> 0

-- I5b (always): a child that ran before its parent had succeeded
select format('%s before %s', e.job_id, p.id)
  from (select distinct job_id from jobs.ended where state in (2, 3)) e
  join jobs.job j on j.id = e.job_id
 cross join lateral (select (p ->> 'job')::uuid as id from json_array_elements(j.rules -> 'parents') p where p ->> 'on' = 'success') p
 where p.id is not null
   and not exists (select from jobs.ended s where s.job_id = p.id and s.state = 2)
   and not exists (select from jobs.event v where v.job_id = j.id and v.verb in ('run_now', 'requeue'))

-- I6 (always): a key that a job holds which has ended, or is gone
select u.kind || ' ' || u.key from jobs.unique_key u left join jobs.job j on j.id = u.job_id and j.state < 2
 where u.until <> 2 and j.id is null

-- I6b (always): a job that does not hold its key
select j.id::text from jobs.job j
 where j.state < 2 and j.rules -> 'unique' ->> 'until' = 'done'
   and not exists (select from jobs.unique_key u where u.kind = j.kind and u.key = j.rules -> 'unique' ->> 'key' and u.job_id = j.id)

-- I7 (always): a batch whose count of what has not ended is not that of its members
select format('%s: %s, not %s', id, counted, members + inner_batches)
  from (select b.id, b.total - b.succeeded - b.failed - b.deleted
               + (select coalesce(sum(d.total - d.succeeded - d.failed - d.deleted), 0) from jobs.batch_delta d where d.batch = b.id) as counted,
               (select count(*) from jobs.batch_member m join jobs.job j on j.id = m.member where m.batch = b.id and j.state < 2) as members,
               (select count(*) from jobs.batch i where i.parent = b.id and i.outcome is null) as inner_batches
          from jobs.batch b) b
 where counted <> members + inner_batches

-- I7b (always): a batch that counts other ends than its members had (as long as none was removed)
select id::text
  from (select b.id, array[b.succeeded + coalesce(d.succeeded, 0), b.failed + coalesce(d.failed, 0), b.deleted + coalesce(d.deleted, 0)] as counted,
               array[m.succeeded + i.succeeded, m.failed + i.failed, m.deleted + i.deleted] as members
          from jobs.batch b
         cross join lateral (select sum(d.succeeded) as succeeded, sum(d.failed) as failed, sum(d.deleted) as deleted
                               from jobs.batch_delta d where d.batch = b.id) d
         cross join lateral (select count(*) filter (where j.state = 2) as succeeded, count(*) filter (where j.state = 3) as failed,
                                    count(*) filter (where j.state = 4) as deleted
                               from jobs.batch_member m join jobs.job j on j.id = m.member where m.batch = b.id) m
         cross join lateral (select count(*) filter (where i.outcome = 2) as succeeded, count(*) filter (where i.outcome = 3) as failed,
                                    count(*) filter (where i.outcome = 4) as deleted
                               from jobs.batch i where i.parent = b.id) i) b
 where counted <> members and not exists (select from jobs.removed)

-- I7c (settled): a batch that has not ended although its members have
select b.id::text from jobs.batch b
 where b.outcome is null and (b.sealed_at is not null or b.cancelled_at is not null) and b.total <= b.succeeded + b.failed + b.deleted
   and not exists (select from jobs.reopened r where r.batch = b.id and r.total >= b.total)

-- I7d (always): a batch that has ended although a member had not when that was decided, or otherwise than its members
select b.id::text from jobs.batch b
 where b.outcome is not null
   and (b.total <> b.succeeded + b.failed + b.deleted or b.sealed_at is null and b.cancelled_at is null
        or b.outcome <> case when b.cancelled_at is not null then 4 when b.failed > 0 then 3 else 2 end)

-- I7e (always): a member that its batch does not list
select j.id::text from jobs.job j
 where j.rules ->> 'batch' is not null
   and not exists (select from jobs.batch_member m where m.member = j.id and m.batch = (j.rules ->> 'batch')::uuid)
   and exists (select from jobs.batch b where b.id = (j.rules ->> 'batch')::uuid)

-- I7f (always): a job that ran as a member of a batch that was not complete
select e.job_id::text from jobs.ended e join jobs.job j on j.id = e.job_id
  join jobs.batch b on b.id = (j.rules ->> 'batch')::uuid
 where e.state in (2, 3) and b.sealed_at is null and b.cancelled_at is null

-- I7g (always): a batch that ended while a member was added
select batch::text from jobs.late_member

-- I7h (drained): a batch that was cancelled and never ends (but for one in it that was opened again: that stays open)
select format('%s of %s has %s, %s and %s', b.id, b.total, b.succeeded, b.failed, b.deleted) from jobs.batch b
 where b.cancelled_at is not null and b.finished_at is null
   and not exists (select from jobs.batch i where i.parent = b.id and i.outcome is null)

-- I8 (always): something held of a limit by a run that is over
select p.limit_name || ' ' || p.job_id from jobs.permit p left join jobs.job j on j.id = p.job_id and j.state = 0 and j.run = p.run
 where not p.ended and j.id is null

-- I8b (always): something held of a limit by a job that waits in a line
select p.limit_name || ' ' || p.job_id from jobs.permit p join jobs.blocked b using (job_id) where not p.ended

-- I8c (always): more at once than a limit allows, or was ever set to (`moving` 3, that of the queue 9)
select format('%s %s: %s', p.limit_name, p.key, sum(p.weight)) from jobs.permit p join jobs.limit_def l on l.name = p.limit_name and l.kind = 1
 where not p.ended group by p.limit_name, p.key, l.max
having sum(p.weight) > case p.limit_name when 'moving' then 3 when 'queue:r.c' then 9 else l.max end

-- I8d (always): a job under a limit that runs without having been let in
select format('%s without %s', j.id, u.rule ->> 'name') from jobs.claim c
 cross join lateral unnest(c.job_ids, c.runs) x (id, run)
  join jobs.job j on j.id = x.id and j.run = x.run and j.state = 0
 cross join lateral (select l -> 'rule' as rule, l ->> 'key' as key from json_array_elements(j.rules -> 'limits') l) u
  join jobs.limit_def d on d.name = u.rule ->> 'name' and d.kind in (1, 3)
 where not exists (select from jobs.permit p where p.job_id = j.id and p.run = j.run and p.limit_name = d.name and p.key = u.key)

-- I8e (always): more starts within a time than a rate allows
select format('%s at %s: %s', b.limit_name, b.at, sum(o.weight)) from jobs.began b
  join jobs.limit_def l on l.name = b.limit_name and l.kind = 3
  join jobs.began o on (o.limit_name, o.key) = (b.limit_name, b.key) and o.at >= b.at and o.at < b.at + make_interval(secs => l.per)
 group by b.limit_name, b.key, b.at, l.max having sum(o.weight) > l.max * (select count(*) from jobs.began t where (t.limit_name, t.key, t.at) = (b.limit_name, b.key, b.at))

-- I8f (always): more of a window, or of a bucket, than there is
select b.limit_name || ' ' || b.amount from jobs.bucket b join jobs.limit_def l on l.name = b.limit_name
 where l.kind = 2 and b.amount > l.max or l.kind = 4 and b.amount < -1e-6

-- I9 (settled): a job that waits for a limit of which nobody holds anything
select b.limit_name || ' ' || b.key from jobs.blocked b join jobs.limit_def l on l.name = b.limit_name and l.kind = 1
 where b.run_at < now() - interval '2 s'
   and not exists (select from jobs.permit p where p.limit_name = b.limit_name and p.key = b.key and not p.ended)
   and not exists (select from jobs.control c join jobs.job j on j.id = b.job_id
                    where c.ends_at is null or c.ends_at > now() - interval '2 s')

-- I10 (always): a kind whose counters are not what happened
select format('%s: %s, not %s', kind, s.n, e.n)
  from (select kind, array[count(*) filter (where state = 2), count(*) filter (where state = 3), count(*) filter (where state = 4)] as n
          from jobs.ended e where state > 1 group by 1) e
  full join (select kind, array[sum(succeeded), sum(failed), sum(deleted)]::bigint[] as n
               from (select kind, succeeded, failed, deleted from jobs.stat_delta
                      union all select kind, succeeded, failed, deleted from jobs.stat_minute) s group by 1) s using (kind)
 where coalesce(s.n, '{0,0,0}') <> coalesce(e.n, '{0,0,0}')

-- I10b (always): a count that is not what the jobs say
select format('succeeded %s, failed %s, deleted %s', s.succeeded, s.failed, s.deleted)
  from (select s.succeeded + coalesce(sum(d.succeeded - d.left_succeeded), 0) as succeeded,
               s.failed + coalesce(sum(d.failed - d.left_failed), 0) as failed,
               s.deleted + coalesce(sum(d.deleted - d.left_deleted), 0) as deleted
          from jobs.stat_standing s left join jobs.stat_delta d on true group by s.one, s.succeeded, s.failed, s.deleted) s
 where (s.succeeded, s.failed, s.deleted) <> (select count(*) filter (where state = 2), count(*) filter (where state = 3),
                                                     count(*) filter (where state = 4) from jobs.job)

-- I11 (drained): a ticket that was overlooked, or somebody in a line
select t.job_id::text from jobs.ticket t where t.run_at < now()
   and not exists (select from jobs.control c where c.scope = 'queue' and c.name = t.queue)
 union all
select b.job_id::text from jobs.blocked b

-- I12 (always): a day without a partition, or a job in none
select to_char(d, 'YYYYMMDD') from generate_series((now() at time zone 'UTC')::date, (now() at time zone 'UTC')::date + 3, interval '1 day') d
 where to_regclass('jobs.job_' || to_char(d, 'YYYYMMDD')) is null
 union all select id::text from jobs.job_default

-- I13 (always): a time to be started by, or a history, of a job that has ended, or is gone
select 'expiry ' || e.job_id from jobs.expiry e left join jobs.job j on j.id = e.job_id and j.state < 2 where j.id is null
 union all
select 'attempt ' || a.job_id from jobs.attempt a left join jobs.job j on j.id = a.job_id where j.id is null
 union all
select 'event ' || e.job_id from jobs.event e left join jobs.job j on j.id = e.job_id where j.id is null
