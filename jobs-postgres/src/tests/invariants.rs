//! What must be true of the tables, whatever has happened: `invariants.sql`, and who sees to it.

use sqlx::{Connection, Executor, Row};

use super::Home;

/// How quiet it is; each state includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// Everybody is at work.
    Always,
    /// Nobody is at work, and what was left for later is done.
    Settled,
    /// Besides, all workers are dead.
    Rescued,
    /// Besides, all that could run has run.
    Drained,
}

struct Invariant {
    when: When,
    /// Its name, and what a row of it would be.
    what: &'static str,
    sql: &'static str,
}

fn all() -> Vec<Invariant> {
    let text = include_str!("invariants.sql");
    let one = |text: &'static str| {
        let (head, sql) = text.split_once('\n').expect("a statement");
        let (_, when) = head.split_once('(').expect("when");
        let when = match when.split_once(')').expect("when").0 {
            "always" => When::Always,
            "settled" => When::Settled,
            "rescued" => When::Rescued,
            "drained" => When::Drained,
            other => panic!("{other}: not a time"),
        };
        Invariant {
            when,
            what: head,
            sql,
        }
    };
    text.split("\n-- I").skip(1).map(one).collect()
}

/// Has what happens from now on written down.
pub(crate) async fn watch(home: &Home) {
    let mut connection = home.connection().await;
    let audit = sqlx::raw_sql(home.sql(include_str!("audit.sql")));
    audit.execute(&mut connection).await.unwrap();
}

/// What is wrong, if it is as quiet as that, in one snapshot.
pub(crate) async fn wrong(home: &Home, now: When) -> Vec<String> {
    let mut connection = home.connection().await;
    let begin = "begin isolation level repeatable read read only";
    connection.execute(begin).await.unwrap();
    let mut found = Vec::new();
    for Invariant { what, sql, .. } in all().into_iter().filter(|it| it.when <= now) {
        let rows = sqlx::query(home.sql(sql)).fetch_all(&mut connection).await;
        let rows = rows.unwrap_or_else(|error| panic!("I{what}: {error}"));
        let row = |row: &sqlx::postgres::PgRow| format!("I{what}: {}", row.get::<String, _>(0));
        found.extend(rows.iter().take(3).map(row));
    }
    connection.close().await.unwrap();
    found
}

/// Fails if something is wrong.
pub(crate) async fn hold(home: &Home, now: When) {
    let wrong = wrong(home, now).await;
    assert!(wrong.is_empty(), "{now:?}: {wrong:#?}");
}

#[test]
fn the_file_is_read_whole() {
    let all = all();
    assert!(all.len() > 30, "{}", all.len());
    for (n, one) in all.iter().enumerate() {
        let repeated = all.iter().skip(n + 1).any(|other| other.what == one.what);
        assert!(!repeated, "{}", one.what);
    }
}
