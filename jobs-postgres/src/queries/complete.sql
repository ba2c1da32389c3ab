-- Settles one success in the caller's transaction: $1 worker, $2 claim, $3 job, $4 run, $5 seconds that it ran, $6
-- result, $7 note. The claim is read without a lock, which would last as long as the transaction.
with settled as (
    update jobs.job j
       set state = 2, run = j.run + 1, attempt = j.attempt + 1, worker = $1, settled = true, reason = $7, result = $6::text::json,
           started_at = clock_timestamp() - make_interval(secs => $5), finished_at = clock_timestamp()
     where j.id = $3 and j.run = $4 and j.state = 0
       and exists (select from jobs.claim c where c.worker = $1 and c.id = $2)
 returning j.queue, j.kind
), stats as (
    insert into jobs.stat_delta (queue, kind, succeeded, run_millis)
    select queue, kind, 1, coalesce($5 * 1000, 0)::bigint from settled
)
select count(*) as settled from settled
