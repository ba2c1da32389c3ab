-- What happened in each minute from ?1 to before ?2.
select minute, queue, kind, succeeded, failed, deleted, retried, run_millis
  from jobs_stat_minute where minute >= ?1 and minute < ?2
 order by minute, queue, kind
