-- What there is to do: whether counters after $1 are to be folded, and what for jobs with rules.
select exists (select from jobs.stat_delta where id > $1) as counters,
       exists (select from jobs.todo) as todo, exists (select from jobs.batch_delta) as deltas,
       exists (select from jobs.expiry where expires_at <= clock_timestamp()) as expiries,
       exists (select from jobs.batch where cancelled_at < now() - interval '5 s' and finished_at is null) as cancelled,
       exists (select from jobs.batch where sealed_at is null and cancelled_at is null and created_at < now() - interval '1 hour') as unsealed,
       exists (select from jobs.blocked where ready) as waiting,
       exists (select from jobs.limit_def where name >= 'queue:' and name < 'queue;') as queues,
       exists (select from jobs.limit_def where name >= 'queue:' and name < 'queue;') and jobs.is_unlined() as unlined,
       (select extract(epoch from min(run_at) - clock_timestamp())::float8 from jobs.blocked where not ready) as next
