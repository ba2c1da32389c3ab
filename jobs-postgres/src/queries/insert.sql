-- Stores jobs and their tickets, all or none, and announces lanes ($9, $10; mostly none). A body that exists already
-- fails the statement (23505); `insert_again` is for that.
-- Shorter arrays are filled up with nulls by unnest: what most jobs lack costs nothing.
-- Due times are never earlier than the insert itself: a claim may rely on it that nothing appears in the past.
with stored as (
    insert into jobs.job (id, run_at, priority, kind, queue, args, options, rules)
    select x.id,
           greatest(coalesce(x.due_at, clock_timestamp() + make_interval(secs => x.due_in)), clock_timestamp()),
           x.priority, x.kind, x.queue, x.args::json, x.options::json,
           case when x.queue = any (array(select substr(l.name, 7) from jobs.limit_def l where l.name >= 'queue:' and l.name < 'queue;')) then '{}'::json end
      from unnest($1::uuid[], $2::text[], $3::text[], $4::int2[], $5::text[], $6::text[], $7::timestamptz[], $8::float8[])
           x (id, kind, queue, priority, args, options, due_at, due_in)
 returning id, run_at, priority, kind, queue, rules
), tickets as (
    insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
    select queue, priority, run_at, id, 0, kind from stored where rules is null
), limited as (
    -- Only the limits of queues are looked at: nothing else may concern these.
    insert into jobs.blocked (job_id, limit_name, key, priority, run_at, queue, ready)
    select id, 'queue:' || queue, '', priority, run_at, queue, run_at <= clock_timestamp() from stored where rules is not null
), lanes as (
    insert into jobs.lane (queue, priority)
    select l.queue, l.priority from unnest($9::text[], $10::int2[]) l (queue, priority)
     where not exists (select from jobs.lane k
                        where k.queue = l.queue and k.priority = l.priority and k.at > now() - interval '12 hours')
)
select clock_timestamp() as now
