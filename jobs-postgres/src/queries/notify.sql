-- Tells other processes of something: $1 payloads, $2 the workers that need not be told, being of this process. If
-- there are no others, nothing is written. A hint may get lost in a crash, so nothing waits for the disk.
select set_config('synchronous_commit', 'off', true), pg_notify('jobs:jobs', hint)
  from unnest($1::text[]) hint
 where exists (select from jobs.worker w where w.dead_at is null and w.id <> all ($2::uuid[]))
