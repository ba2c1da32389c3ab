-- Ends a worker that has given everything back. The row stays for a day: a claim that commits late is found by it.
update jobs.worker set dead_at = coalesce(dead_at, now()), retired_at = now() where id = $1
