-- What recurs: one row each, with everything that is known of it as JSON. `version` is another one after each change:
-- who changes it says which one that was made from. `look_at` is when a scheduler has to look at it; null: never.
create table jobs_recurring (
    id      text    not null primary key,
    version blob    not null,
    kind    text    not null,
    look_at integer,
    record  text    not null
) strict, without rowid;
create index jobs_recurring_due on jobs_recurring (look_at, id) where look_at is not null;
