//! Everything at once, and then the books: the race of the conformance suite, and what must be true
//! of the tables after it.

use std::time::Duration;

use jobs_core::storage::{Storage, StorageHandle};
use jobs_core::testing::conformance::race::Race;
use sqlx::Row;

use super::{Home, test};

/// Writes down every end of an ownership.
const AUDIT: &str = "
create table jobs.audit (job_id uuid, run int);
create function jobs.audited() returns trigger language plpgsql as $fn$
begin
    insert into jobs.audit values (old.id, old.run);
    return null;
end
$fn$;
create trigger audited after update on jobs.job for each row when (old.run <> new.run) execute function jobs.audited();
";

/// What may not be, at a quiet moment.
const WRONG: [(&str, &str); 9] = [
    (
        "a run that ended twice",
        "select job_id::text || ' ' || run from jobs.audit group by job_id, run having count(*) > 1",
    ),
    (
        "a job whose ends are not as many as its runs",
        "select j.id::text from jobs.job j where j.run <> (select count(*) from jobs.audit a where a.job_id = j.id)",
    ),
    (
        "a waiting job that is not in exactly one place",
        "select j.id::text from jobs.job j where j.state = 0 and 1 <>
           (select count(*) from jobs.ticket t where (t.queue, t.priority, t.run_at, t.job_id, t.run) = (j.queue, j.priority, j.run_at, j.id, j.run))
         + (select count(*) from jobs.claim c join jobs.worker w on w.id = c.worker, unnest(c.job_ids, c.runs) x (id, run)
             where x.id = j.id and x.run = j.run)",
    ),
    (
        "a ticket that is void",
        "select t.job_id::text from jobs.ticket t left join jobs.job j on j.id = t.job_id and j.run = t.run and j.state = 0 where j.id is null",
    ),
    (
        "a claim without a worker, or of a dead one",
        "select c.id::text from jobs.claim c left join jobs.worker w on w.id = c.worker where w.id is null or w.dead_at is not null",
    ),
    (
        "a kind whose counters are not what the jobs say",
        "select j.kind || ': ' || j.n || ' jobs, counted ' || coalesce(s.n, 0) from (select kind, count(*) n from jobs.job where state = 2 group by 1) j
           full join (select kind, sum(n) n from (select kind, succeeded - left_succeeded as n from jobs.stat_delta
                                                  union all select kind, succeeded from jobs.stat_minute) s group by 1) s using (kind)
          where j.n is distinct from nullif(s.n, 0) and not exists (select from jobs.event where verb = 'requeue')",
    ),
    (
        "a count that is not what the jobs say",
        "select 'succeeded ' || s.succeeded || ', failed ' || s.failed || ', deleted ' || s.deleted
           from (select s.succeeded + coalesce(sum(d.succeeded - d.left_succeeded), 0) as succeeded,
                        s.failed + coalesce(sum(d.failed - d.left_failed), 0) as failed,
                        s.deleted + coalesce(sum(d.deleted - d.left_deleted), 0) as deleted
                   from jobs.stat_standing s left join jobs.stat_delta d on true group by s.one, s.succeeded, s.failed, s.deleted) s
          where (s.succeeded, s.failed, s.deleted) <> (select count(*) filter (where state = 2), count(*) filter (where state = 3),
                                                              count(*) filter (where state = 4) from jobs.job)",
    ),
    (
        "a due ticket that is overlooked, after all was drained",
        "select t.job_id::text from jobs.ticket t where t.run_at < now() - interval '5 s'
            and not exists (select from jobs.control c where c.scope = 'queue' and c.name = t.queue)",
    ),
    (
        "a day without a partition, or a job in none",
        "select to_char(d, 'YYYYMMDD') from generate_series((now() at time zone 'UTC')::date, (now() at time zone 'UTC')::date + 3, interval '1 day') d
          where to_regclass('jobs.job_' || to_char(d, 'YYYYMMDD')) is null
         union all select id::text from jobs.job_default",
    ),
];

async fn wrong(home: &Home) -> Vec<String> {
    let mut connection = home.connection().await;
    let mut found = Vec::new();
    for (what, sql) in WRONG {
        let rows = sqlx::query(home.sql(sql)).fetch_all(&mut connection).await;
        let rows = rows.unwrap_or_else(|error| panic!("{what}: {error}"));
        found.extend(
            rows.iter()
                .take(3)
                .map(|row| format!("{what}: {}", row.get::<String, _>(0))),
        );
    }
    found
}

async fn prepare(home: &Home) {
    let mut connection = home.connection().await;
    sqlx::raw_sql(home.sql(AUDIT))
        .execute(&mut connection)
        .await
        .unwrap();
}

#[test]
fn the_tables_balance() {
    test(|home| async move {
        let storage = home.storage().await;
        prepare(&home).await;
        let handle = StorageHandle::new(storage.clone());
        let long = std::env::var("JOBS_TEST_LONG").is_ok_and(|value| value == "1");
        let time = Duration::from_secs(if long { 60 } else { 5 });
        let seed = std::env::var("JOBS_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let race = seed.map_or_else(Race::default, |seed| Race::new(seed, time));
        let ended = tokio::time::timeout(time + Duration::from_secs(120), race.run(&handle)).await;
        assert!(
            ended.is_ok(),
            "something is taken back, or handed out, again and again"
        );
        assert_eq!(wrong(&home).await, Vec::<String>::new());
        storage.tick().await.unwrap();
        assert_eq!(wrong(&home).await, Vec::<String>::new());
    });
}
