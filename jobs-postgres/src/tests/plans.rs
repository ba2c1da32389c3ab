//! No statement that runs for every job reads a whole table, whatever the planner believes of it.

use sqlx::{Executor, PgConnection, Row};

use super::{Home, claim, flush, long, new_job, test, worker};
use crate::PgStorage;
use jobs_core::job::BatchId;
use jobs_core::storage::{Inspect, JobFilter, NewBatch, Storage};

async fn store(storage: &PgStorage, count: usize) {
    let jobs: Vec<_> = (0..count).map(|_| new_job()).collect();
    storage.insert(&jobs).await.unwrap();
}

/// Takes and settles one batch by calling the functions in one transaction, and says how often, in
/// that transaction, each of our large tables was read as a whole, and how many rows were fetched
/// through indexes.
async fn rows_read(home: &Home, connection: &mut PgConnection, batch: usize) -> (i64, i64) {
    connection.execute("begin").await.unwrap();
    let prepare = format!(
        "create temp table given on commit drop as
         select w.id as worker, jobs.new_id() as claim from jobs.worker w limit 1;
         create temp table taken on commit drop as
         select c.id, c.run from given, jobs.claim(worker, claim, {batch}, '{{}}', '{{{batch}}}', '{{1}}', '{{default}}', '{{0}}',
             array[null::timestamptz], '{{00000000-0000-0000-0000-000000000000}}') c where c.id is not null;"
    );
    let steps = [
        prepare.as_str(),
        "select jobs.next_due('{default}', '{0}', array[null::timestamptz], '{00000000-0000-0000-0000-000000000000}', '{}')",
        "select jobs.lanes_in_use()",
        "select jobs.fate(worker, ids, runs, null) from given,
            (select array_agg(id order by id) as ids, array_agg(run order by id) as runs from taken) t",
        // Half of them plainly, the others one by one; what is left is given back.
        "select jobs.settle_success(worker, array[claim], '{}', ids[1], ids[cardinality(ids)], ids, runs, '{}', '{}', '{}') from given,
            (select array_agg(id order by id) as ids, array_agg(run order by id) as runs
               from (select * from taken order by id limit (select count(*) / 3 from taken)) t) t",
        "select jobs.settle(worker, array[claim], '{}', ids[1], ids[cardinality(ids)], ids, runs, '{}', '{}', '{}', claims, codes, '{}', '{}', '{}', '{}')
           from given, (select array_agg(id order by id) as ids, array_agg(run order by id) as runs, array_agg(g.claim) as claims,
                               array_agg(3::int2) as codes
               from (select * from taken order by id desc limit (select count(*) / 3 from taken)) t cross join given g) t",
        "select jobs.give_back(worker, null, 100000, null, null, null) from given",
    ];
    for step in steps {
        let ran = sqlx::raw_sql(home.sql(step))
            .execute(&mut *connection)
            .await;
        ran.unwrap_or_else(|error| panic!("{step}: {error}"));
    }
    let look = "select coalesce(sum(seq_tup_read), 0)::bigint, coalesce(sum(idx_tup_fetch), 0)::bigint from pg_stat_xact_user_tables
                 where schemaname = $1 and (relname like 'job\\_%' or relname in ('ticket', 'claim'))";
    let row = sqlx::query(look)
        .bind(&home.schema)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    connection.execute("commit").await.unwrap();
    (row.get(0), row.get(1))
}

#[test]
fn nothing_is_read_as_a_whole() {
    test(|home| async move {
        let storage = home.storage().await;
        worker(&storage).await;
        let mut connection = home.connection().await;
        // The plans are made, and kept, when there is nothing; when there is little and that is
        // known; when there is much and that is not known; when it is.
        for (stored, analyzed, batch) in [
            (0, false, 10),
            (20, true, 10),
            (20_000, false, 900),
            (100, true, 900),
        ] {
            if stored > 0 {
                store(&storage, stored).await;
            }
            if analyzed {
                let analyze = home.sql("analyze jobs.job, jobs.ticket, jobs.claim");
                sqlx::raw_sql(analyze)
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
            let (whole, fetched) = rows_read(&home, &mut connection, batch).await;
            let case = format!("{stored} more, analyzed: {analyzed}");
            assert_eq!(whole, 0, "{case}");
            // Each job is looked at a few times: by the claim, by its fate, by its outcome, and by
            // what checks that.
            assert!(
                fetched <= 20 * batch as i64 + 100,
                "{case}: {fetched} rows for {batch} jobs"
            );
        }
        // The same through the storage, on connections that have just been made.
        let me = worker(&storage).await;
        let (id, claimed) = claim(&storage, me, 500).await;
        assert_eq!(claimed.jobs.len(), 500);
        storage
            .settle(&flush(me, id, &claimed.jobs, true))
            .await
            .unwrap();
    });
}

/// Jobs without rules look once whether somebody waits for one of them, and at nothing else that only
/// jobs with rules need, however much of that there is.
#[test]
fn plain_jobs_pay_nothing_for_rules() {
    test(|home| async move {
        let storage = home.storage().await;
        worker(&storage).await;
        for others in [0, 20_000] {
            let mut filling = home.connection().await;
            let fill = format!(
                "insert into jobs.dependency (parent, child, place, condition)
                 select gen_random_uuid(), gen_random_uuid(), 1, 0 from generate_series(1, {others});
                 insert into jobs.blocked (job_id, limit_name, key, priority, run_at, queue, ready)
                 select gen_random_uuid(), 'l', '', 0, now(), 'default', true from generate_series(1, {others});"
            );
            sqlx::raw_sql(home.sql(&fill))
                .execute(&mut filling)
                .await
                .unwrap();
            store(&storage, 300).await;
            // The server adds to these figures what the connection did before and has not reported yet.
            let mut connection = home.connection().await;
            connection.execute("begin").await.unwrap();
            let steps = [
                "create temp table given on commit drop as
                 select w.id as worker, jobs.new_id() as claim from jobs.worker w limit 1",
                "create temp table taken on commit drop as
                 select c.id, c.run from given, jobs.claim(worker, claim, 300, '{}', '{300}', '{1}', '{default}', '{0}',
                     array[null::timestamptz], '{00000000-0000-0000-0000-000000000000}') c where c.id is not null",
                "select jobs.settle_success(worker, array[claim], '{}', ids[1], ids[cardinality(ids)], ids, runs, '{}', '{}', '{}') from given,
                    (select array_agg(id order by id) as ids, array_agg(run order by id) as runs from taken) t",
            ];
            for step in steps {
                let ran = sqlx::raw_sql(home.sql(step)).execute(&mut connection).await;
                ran.unwrap_or_else(|error| panic!("{step}: {error}"));
            }
            let settled =
                "select count(*) from taken t join jobs.job j on j.id = t.id and j.state = 2";
            let settled: i64 = sqlx::query(home.sql(settled))
                .fetch_one(&mut connection)
                .await
                .unwrap()
                .get(0);
            assert_eq!(settled, 300);
            let look = "select coalesce(sum(seq_scan + coalesce(idx_scan, 0)) filter (where relname = 'dependency'), 0)::bigint,
                               coalesce(sum(seq_scan + coalesce(idx_scan, 0) + n_tup_ins + n_tup_del) filter (where relname <> 'dependency'), 0)::bigint,
                               coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint
                          from pg_stat_xact_user_tables
                         where schemaname = $1 and relname in ('dependency', 'awaiting', 'todo', 'unique_key', 'batch', 'batch_member',
                               'batch_delta', 'expiry', 'blocked', 'permit', 'bucket')";
            let row = sqlx::query(look)
                .bind(&home.schema)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            connection.execute("commit").await.unwrap();
            let (probes, others_touched, rows): (i64, i64, i64) =
                (row.get(0), row.get(1), row.get(2));
            assert_eq!((probes, others_touched), (1, 0), "beside {others} others");
            assert!(rows <= 1, "{rows} rows were read beside {others} others");
        }
    });
}

/// How much there is of what a statement must not read.
fn many() -> usize {
    if long() { 1_000_000 } else { 50_000 }
}

/// Stores, by hand, finished jobs, and as many that are for later.
async fn fill(home: &Home, connection: &mut PgConnection, jobs: usize) {
    let fill = format!(
        "insert into jobs.job (id, run_at, kind, queue, args, state, run, finished_at)
         select jobs.new_id(), now(), 'add', 'default', '{{}}', 2, 1, now() from generate_series(1, {jobs});
         with later as (
             insert into jobs.job (id, run_at, kind, queue, args)
             select jobs.new_id(), now() + interval '1 day', 'add', 'default', '{{}}' from generate_series(1, {jobs})
          returning id, run_at
         )
         insert into jobs.ticket (queue, priority, run_at, job_id, run, kind) select 'default', 0, run_at, id, 0, 'add' from later;"
    );
    home.run(connection, &fill).await;
}

/// Among very many, and before the server has noticed that there are as many: what is taken and settled is all that is read.
#[test]
fn nothing_is_read_as_a_whole_among_very_many() {
    test(|home| async move {
        let storage = home.storage().await;
        worker(&storage).await;
        let mut connection = home.connection().await;
        let tables = "jobs.job, jobs.ticket, jobs.claim";
        // So that autovacuum does not look first.
        let alone = "alter table jobs.ticket set (autovacuum_enabled = off); analyze jobs.job, jobs.ticket, jobs.claim";
        home.run(&mut connection, alone).await;
        fill(&home, &mut connection, many()).await;
        for known in [false, true] {
            if known {
                home.run(&mut connection, &format!("analyze {tables}"))
                    .await;
            }
            store(&storage, 900).await;
            let mut fresh = home.connection().await;
            let (whole, fetched) = rows_read(&home, &mut fresh, 900).await;
            assert_eq!(whole, 0, "known: {known}");
            assert!(fetched <= 20 * 900 + 100, "{fetched} rows, known: {known}");
        }
    });
}

/// What one statement of a transaction of its own has read of these tables: scans, and rows.
async fn read_of(home: &Home, connection: &mut PgConnection, tables: &str) -> (i64, i64) {
    let look = "select coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0)::bigint,
                       coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint
                  from pg_stat_xact_user_tables where schemaname = $1 and relname = any ($2::text[])";
    let row = sqlx::query(look).bind(&home.schema).bind(tables);
    let row = row.fetch_one(&mut *connection).await.unwrap();
    connection.execute("commit").await.unwrap();
    (row.get(0), row.get(1))
}

/// Takes 300 jobs and answers how many pages that touched, beside what it read of `blocked` and of bodies.
async fn claim_300(home: &Home) -> (i64, (i64, i64), i64) {
    let explain = "explain (analyze, buffers, format json)
        select * from jobs.claim((select id from jobs.worker limit 1), jobs.new_id(), 300, '{}', '{300}', '{1}', '{default}', '{0}',
                                 array[null::timestamptz], '{00000000-0000-0000-0000-000000000000}')";
    let mut connection = home.connection().await;
    connection.execute("begin").await.unwrap();
    let row = sqlx::query(home.sql(explain)).persistent(false);
    let row = row.fetch_one(&mut connection).await.unwrap();
    let plan: &str = row.get_unchecked(0);
    let plan: serde_json::Value = serde_json::from_str(plan).unwrap();
    // From version 18 on rows have decimals.
    let of = |what: &str| plan[0]["Plan"][what].as_f64().unwrap() as i64;
    let pages = of("Shared Hit Blocks") + of("Shared Read Blocks");
    assert_eq!(of("Actual Rows"), 301);
    let look = "select coalesce(sum(idx_tup_fetch), 0)::bigint from pg_stat_xact_user_tables where schemaname = $1 and relname like 'job\\_%'";
    let bodies = sqlx::query(look).bind(&home.schema);
    let bodies: i64 = bodies.fetch_one(&mut connection).await.unwrap().get(0);
    let blocked = read_of(home, &mut connection, "{blocked,permit,limit_def,bucket}").await;
    (pages, blocked, bodies)
}

/// Jobs that wait before a limit, more urgent than all others and due for long, do not exist for a claim.
#[test]
fn a_claim_reads_no_blocked_job() {
    test(|home| async move {
        let storage = home.storage().await;
        worker(&storage).await;
        store(&storage, 300).await;
        let (alone, _, _) = claim_300(&home).await;
        let mut connection = home.connection().await;
        let blocked = if long() { 200_000 } else { 20_000 };
        let hostile = format!(
            "insert into jobs.limit_def (name, kind, max, excess, reason) values ('l', 1, 1, 0, '');
             with jobs as (
                 insert into jobs.job (id, run_at, priority, kind, queue, args, rules)
                 select jobs.new_id(), now() - interval '1 h', -5, 'add', 'default', '{{}}', '{{}}' from generate_series(1, {blocked})
              returning id, run_at
             )
             insert into jobs.blocked (job_id, limit_name, key, priority, run_at, queue, ready)
             select id, 'l', id::text, -5, run_at, 'default', true from jobs;
             insert into jobs.blocked (job_id, limit_name, key, priority, run_at, queue, ready)
             select gen_random_uuid(), 'l', '', -5, now() - interval '1 h', 'default', true from generate_series({blocked} + 1, 200000);"
        );
        home.run(&mut connection, &hostile).await;
        for known in [false, true] {
            if known {
                home.run(
                    &mut connection,
                    "analyze jobs.job, jobs.ticket, jobs.blocked",
                )
                .await;
            }
            store(&storage, 300).await;
            let (pages, (scans, rows), bodies) = claim_300(&home).await;
            println!("{pages} pages beside 200,000 blocked jobs, {alone} alone; known: {known}");
            // The one look is whether any queue has a limit.
            assert!(scans <= 1 && rows == 0, "{scans}, {rows}, known: {known}");
            assert!(bodies <= 300, "{bodies} bodies");
            // Bodies lie further apart in a larger table, and its index is a level deeper.
            assert!(pages <= alone * 3 / 2 + 600, "{pages} pages, {alone} alone");
        }
    });
}

/// To store plain jobs reads nothing that there is much of.
#[test]
fn an_insert_reads_nothing() {
    test(|home| async move {
        let storage = home.storage().await;
        let mut connection = home.connection().await;
        fill(&home, &mut connection, many() / 10).await;
        for known in [false, true] {
            if known {
                home.run(&mut connection, "analyze jobs.job, jobs.ticket, jobs.lane")
                    .await;
            }
            let jobs: Vec<_> = (0..500).map(|_| new_job()).collect();
            let mut fresh = home.connection().await;
            fresh.execute("begin").await.unwrap();
            let sql = sqlx::AssertSqlSafe(storage.store.sql.insert.clone());
            let insert = crate::insert::bind(sqlx::query(sql), &jobs, &[]);
            insert.fetch_one(&mut fresh).await.unwrap();
            let leaves = sqlx::query(
                "select array_agg(relname::text)::text from pg_stat_user_tables where schemaname = $1 and relname like 'job\\_%'",
            );
            let leaves: String = leaves
                .bind(&home.schema)
                .fetch_one(&mut fresh)
                .await
                .unwrap()
                .get(0);
            let tables = leaves.replace('{', "{ticket,blocked,dependency,permit,unique_key,claim,");
            let (_, rows) = read_of(&home, &mut fresh, &tables).await;
            assert_eq!(rows, 0, "known: {known}");
        }
    });
}

/// What recurs and is not due costs nothing to be passed over.
#[test]
fn what_is_due_of_ten_thousand_recurring_jobs_is_all_that_is_read() {
    test(|home| async move {
        let storage = home.storage().await;
        let mut connection = home.connection().await;
        let fill = "alter table jobs.recurring set (autovacuum_enabled = off);
            insert into jobs.recurring (id, version, kind, look_at, record)
            select 'r' || n, gen_random_uuid(), 'add', now() + make_interval(secs => n), '{}' from generate_series(1, 10000) n;
            insert into jobs.recurring (id, version, kind, look_at, record)
            select 'due' || n, gen_random_uuid(), 'add', now() - interval '1 s', '{}' from generate_series(1, 7) n;
            insert into jobs.recurring (id, version, kind, look_at, record)
            select 'never' || n, gen_random_uuid(), 'add', null, '{}' from generate_series(1, 1000) n;";
        home.run(&mut connection, fill).await;
        for known in [false, true] {
            if known {
                home.run(&mut connection, "analyze jobs.recurring").await;
            }
            let mut fresh = home.connection().await;
            fresh.execute("begin").await.unwrap();
            let sql = sqlx::AssertSqlSafe(storage.store.sql.recurring_due.clone());
            let due = sqlx::query(sql)
                .bind(vec!["add", "other"])
                .bind(None::<chrono::DateTime<chrono::Utc>>)
                .bind("")
                .bind(100_i64);
            let row = due.fetch_one(&mut fresh).await.unwrap();
            assert_eq!(row.get::<Vec<String>, _>("ids").len(), 7);
            let (scans, rows) = read_of(&home, &mut fresh, "{recurring}").await;
            // Those that are due, and the first that is not.
            assert!(
                scans <= 2 && rows <= 10,
                "{scans} scans, {rows} rows; known: {known}"
            );
        }
    });
}

/// Very many may wait for one: each call looks at some of them, and not at all others each time.
#[test]
fn of_very_many_children_some_are_read_at_a_time() {
    test(|home| async move {
        let storage = home.storage().await;
        let parent = new_job();
        storage.insert(std::slice::from_ref(&parent)).await.unwrap();
        let mut connection = home.connection().await;
        let parent = parent.id;
        let children = format!(
            "update jobs.job set state = 2 where id = '{parent}';
             insert into jobs.job (id, run_at, kind, queue, args, rules, state, pending)
             select jobs.new_id(), now(), 'add', 'default', '{{}}', '{{}}', 1, 1 from generate_series(1, 40000);
             insert into jobs.awaiting select id from jobs.job where state = 1;
             insert into jobs.dependency select '{parent}', job_id, 1, 0 from jobs.awaiting"
        );
        home.run(&mut connection, &children).await;
        for left in [35_000, 30_000] {
            // What the one before it has read may be counted here too.
            let mut connection = home.connection().await;
            connection.execute("begin").await.unwrap();
            let resolve = format!("select jobs.resolve(array['{parent}'::uuid])");
            home.run(&mut connection, &resolve).await;
            let (_, rows) = read_of(&home, &mut connection, "{dependency,awaiting}").await;
            assert!(rows < 35_000, "{rows} rows were read for 5,000 of them");
            assert_eq!(storage.counts().await.unwrap().awaiting, left);
        }
    });
}

/// A page of a batch is read, and not the batch.
#[test]
fn of_a_large_batch_a_page_is_read() {
    test(|home| async move {
        let storage = home.storage().await;
        let batch = BatchId::new();
        let members = || {
            let mut new = new_job();
            new.rules.get_or_insert_default().batch = Some(batch);
            new
        };
        let jobs: Vec<_> = std::iter::repeat_with(members).take(2_000).collect();
        storage
            .create_batch(&NewBatch::new(batch), &jobs)
            .await
            .unwrap();
        store(&storage, 2_000).await;
        let mut connection = home.connection().await;
        home.run(&mut connection, "analyze jobs.job, jobs.batch_member")
            .await;
        // What the one before it has read may be counted here too.
        let mut connection = home.connection().await;
        connection.execute("begin").await.unwrap();
        let page = sqlx::query(sqlx::AssertSqlSafe(
            storage.store.sql.job_page_batch.clone(),
        ))
        .persistent(false)
        .bind(None::<i16>)
        .bind(None::<&str>)
        .bind(None::<&str>)
        .bind(None::<&str>)
        .bind(uuid::Uuid::max())
        .bind(51_i64)
        .bind(batch.as_uuid());
        let rows = page.fetch_all(&mut connection).await.unwrap();
        assert_eq!(rows.len(), 51);
        let (_, rows) = read_of(&home, &mut connection, "{batch_member}").await;
        assert!(rows < 1_000, "{rows} rows were read for 51");
        let filter = JobFilter {
            batch: Some(batch),
            ..JobFilter::default()
        };
        let page = storage.jobs(&filter).await.unwrap();
        assert_eq!(page.jobs[0].id, jobs[1_999].id);
    });
}
