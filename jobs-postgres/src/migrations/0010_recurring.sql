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
