-- Forgets workers that ended more than a day ago and hold nothing, lanes that nobody has announced for a day and that
-- are empty, announcements that a later one repeats, pauses that have ended, and counters and what workers were told of more
-- than 90 days ago.
with workers as (
    delete from jobs.worker w
     where w.dead_at < now() - interval '1 day' and not exists (select from jobs.claim c where c.worker = w.id)
), lanes as (
    delete from jobs.lane l
     where l.at < now() - interval '1 day'
       and (not exists (select from jobs.ticket t where t.queue = l.queue and t.priority = l.priority)
            or exists (select from jobs.lane k where k.queue = l.queue and k.priority = l.priority and k.id > l.id))
), minutes as (
    delete from jobs.stat_minute where minute < now() - interval '91 days'
), pauses as (
    delete from jobs.control where ends_at < now()
), told as (
    delete from jobs.control_event where at < now() - interval '91 days'
)
select now() as now
