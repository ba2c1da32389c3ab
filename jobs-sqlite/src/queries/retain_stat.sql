-- Counters of minutes before ?1.
delete from jobs_stat_minute where minute < ?1
