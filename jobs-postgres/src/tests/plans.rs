//! No statement that runs for every job reads a whole table, whatever the planner believes of it.

use sqlx::{Executor, PgConnection, Row};

use super::{Home, claim, flush, new_job, test, worker};
use crate::PgStorage;
use jobs_core::storage::Storage;

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
