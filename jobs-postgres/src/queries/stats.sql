-- What happened in each minute from $1 to before $2, folded or not.
select minute, queue, kind, sum(succeeded)::bigint as succeeded, sum(failed)::bigint as failed,
       sum(deleted)::bigint as deleted, sum(retried)::bigint as retried, sum(run_millis)::bigint as run_millis
  from (select minute, queue, kind, succeeded, failed, deleted, retried, run_millis from jobs.stat_minute
         where minute >= $1 and minute < $2
         union all
        select date_trunc('minute', at), queue, kind, succeeded, failed, deleted, retried, run_millis from jobs.stat_delta
         where succeeded + failed + deleted + retried > 0
           and date_trunc('minute', at) >= $1 and date_trunc('minute', at) < $2) s
 group by minute, queue, kind
 order by minute, queue, kind
