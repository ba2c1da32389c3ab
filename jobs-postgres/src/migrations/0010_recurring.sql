-- What recurs: one row each, with everything that is known of it as JSON. `version` is another one after each change: who
-- changes it says which one that was made from. `look_at` is when a scheduler has to look at it; null: never.
create table jobs.recurring (
    id      text collate "C" primary key,
    version uuid not null,
    kind    text collate "C" not null,
    look_at timestamptz,
    record  json not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
create index recurring_due on jobs.recurring (look_at, id) where look_at is not null;

-- What has to be looked at now, of these kinds, after the place (p_at, p_id) (null: from the first on), p_limit at most; and the
-- first time after now. Read through the index, whatever the planner knows of the table: nothing of the others is touched.
create or replace function jobs.due_recurring(p_kinds text[], p_at timestamptz, p_id text, p_limit bigint, out now timestamptz,
                                   out next timestamptz, out ids text[], out records text[])
language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set plan_cache_mode = force_generic_plan set jit = off as $fn$
begin
    now := clock_timestamp();
    select coalesce(array_agg(d.id), '{}'), coalesce(array_agg(d.record), '{}') into ids, records
      from (select r.id, r.record::text as record from jobs.recurring r
             where r.look_at <= due_recurring.now and r.kind = any (p_kinds)
               and (r.look_at, r.id) > (coalesce(p_at, '-infinity'), coalesce(p_id, ''))
             order by r.look_at, r.id limit p_limit) d;
    next := (select r.look_at from jobs.recurring r
              where r.look_at > due_recurring.now and r.kind = any (p_kinds) order by r.look_at, r.id limit 1);
end
$fn$;
