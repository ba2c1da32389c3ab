-- Stores jobs that are due now, and puts them into a claim ($9) of a worker ($8) of this process in the same step: nobody need look for
-- them. If that worker is not among the living, or anything at all is paused, or a queue limited, they get their tickets as with `insert`.
-- Shorter arrays are filled up with nulls by unnest.
with taker as materialized (
    select from jobs.worker w
     where w.id = $8 and w.dead_at is null and not exists (select from jobs.control c where c.scope in ('queue', 'kind'))
       and not exists (select from jobs.limit_def l where l.name >= 'queue:' and l.name < 'queue;')
), stored as (
    insert into jobs.job (id, run_at, priority, kind, queue, args, options, rules)
    select x.id, clock_timestamp(), x.priority, x.kind, x.queue, x.args::json, x.options::json,
           case when x.queue = any (array(select substr(l.name, 7) from jobs.limit_def l where l.name >= 'queue:' and l.name < 'queue;')) then '{}'::json end
      from unnest($1::uuid[], $2::text[], $3::text[], $4::int2[], $5::text[], $6::text[]) x (id, kind, queue, priority, args, options)
 returning id, run_at, priority, kind, queue, rules
), tickets as (
    insert into jobs.ticket (queue, priority, run_at, job_id, run, kind)
    select queue, priority, run_at, id, 0, kind from stored where not exists (select from taker) and rules is null
), limited as (
    insert into jobs.blocked (job_id, limit_name, key, priority, run_at, queue, ready)
    select id, 'queue:' || queue, '', priority, run_at, queue, true from stored where rules is not null
), taken as (
    insert into jobs.claim (worker, id, job_ids, runs)
    select $8, $9, array_agg(id order by id), array_agg(0) from stored where exists (select from taker) having count(*) > 0
), lanes as (
    insert into jobs.lane (queue, priority)
    select l.queue, l.priority from unnest($7::text[], $10::int2[]) l (queue, priority)
     where not exists (select from jobs.lane k
                        where k.queue = l.queue and k.priority = l.priority and k.at > now() - interval '12 hours')
)
select max(run_at) as now, exists (select from taker) as taken from stored
