//! Every statement of this crate: one file each in `queries/`, with the table prefix put in once.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{AssertSqlSafe, SqlSafeStr};

/// The table prefix as it stands in the files.
pub(crate) const PLACEHOLDER: &str = "jobs_";

/// One statement, prepared once per connection.
#[derive(Clone)]
pub(crate) struct Statement(Arc<str>);

impl Statement {
    fn new(text: &str, prefix: &str) -> Self {
        Self(text.replace(PLACEHOLDER, prefix).into())
    }

    /// The statement, to be given its values. The text is ours, with nothing of a caller's in it but
    /// the table prefix, which was checked.
    pub(crate) fn query(&self) -> Query<'static, Sqlite, SqliteArguments> {
        sqlx::query(AssertSqlSafe(Arc::clone(&self.0)).into_sql_str())
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

macro_rules! queries {
    ($($name:ident)*) => {
        /// The statements, by the names of their files.
        pub(crate) struct Queries {
            $(pub(crate) $name: Statement,)*
            /// The time that this process has last noted in the file: see `clock`.
            pub(crate) noted: AtomicI64,
            /// When this process is to look who can be let in by limits: see `writer`.
            pub(crate) alarm: AtomicI64,
        }

        impl Queries {
            #[cfg(test)]
            pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// The statements for tables with this prefix, which has been checked.
            pub(crate) fn new(prefix: &str) -> Self {
                Self {
                    $($name: Statement::new(
                        include_str!(concat!("queries/", stringify!($name), ".sql")),
                        prefix,
                    ),)*
                    noted: AtomicI64::new(0),
                    alarm: AtomicI64::new(i64::MAX),
                }
            }

            /// Takes something out of a statement, to see that it is missed.
            #[cfg(test)]
            pub(crate) fn replace(&mut self, name: &str, old: &str, new: &str) {
                let statement = match name {
                    $(stringify!($name) => &mut self.$name,)*
                    _ => panic!("there is no statement {name}"),
                };
                assert!(statement.0.contains(old), "{name} has no {old:?}");
                statement.0 = statement.0.replace(old, new).into();
            }

            /// Each statement with its name.
            #[cfg(test)]
            pub(crate) fn all(&self) -> Vec<(&'static str, &Statement)> {
                vec![$((stringify!($name), &self.$name)),*]
            }
        }
    };
}

queries! {
    admit
    attempt
    attempt_trim
    batch
    batch_below
    batch_count
    batch_drop
    batch_end
    batch_held
    batch_open
    batch_seal
    batch_unsealed
    batches
    beat
    block
    block_later
    block_move
    block_reason
    bucket
    bucket_forget
    bucket_full
    bucket_set
    bury
    claim_close
    claim_end
    claim_keep
    claim_pick
    claim_take
    claims_of
    clock
    clock_ahead
    clock_back
    clock_due
    clock_read
    command
    command_pick
    complete
    control_end
    control_event
    control_set
    controls
    dependants
    dependency
    dependency_drop
    dependency_met
    end
    event
    expired
    expiry
    expiry_drop
    held_by
    holds
    insert
    insert_alike
    insert_known
    insert_ruled
    inspect_all
    inspect_attempts
    inspect_awaited
    inspect_awaiting
    inspect_batch
    inspect_children
    inspect_control_events
    inspect_counts
    inspect_ended_badly
    inspect_events
    inspect_job
    inspect_processing
    inspect_queues
    inspect_stats
    inspect_waiting
    inspect_workers
    known
    lane_due
    lanes
    limit_choose
    limit_declare
    limit_forget
    limit_get
    limit_line_up
    limit_serve
    limit_served
    limit_take_back
    limit_untie
    limited
    limits
    line
    line_ahead
    line_look
    line_seen
    lines_all
    lines_of
    member
    member_drop
    member_open
    member_pick
    merge
    merge_pick
    next_look
    pending
    permit
    permit_end
    permit_keys
    permit_old
    permit_prune
    permit_start
    permits_of
    presences
    queue_limits
    ready
    recurring
    recurring_due
    recurring_next
    recurring_page
    recurring_put
    recurring_remove
    recurring_unfinished
    recurring_versions
    register
    release
    rescue
    rescue_end
    rescue_pick
    retain
    retain_attempt
    retain_awaiting
    retain_batch
    retain_check
    retain_control
    retain_control_event
    retain_event
    retain_kept
    retain_member
    retain_pick
    retain_stat
    retain_tag
    retain_worker
    retire
    revoked
    ripe
    ripen
    settle
    settle_fence
    stat
    suspect
    tag
    tally
    tick
    ticket
    ticket_now
    touched
    unblock
    unique_expire
    unique_free
    unique_holders
    unique_take
    untie
    used
    waiters
    worker_alive
}

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions, Row, SqliteConnection};

    use super::*;

    fn files() -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/queries");
        let entries = std::fs::read_dir(folder).expect("the folder of statements");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = entry.expect("an entry").file_name();
            name.into_string().expect("a plain name")
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn every_file_is_used_and_every_statement_has_its_file() {
        // A statement that no code uses is a field that is never read, which the compiler reports.
        let listed: Vec<String> = Queries::NAMES.iter().map(|n| format!("{n}.sql")).collect();
        assert_eq!(files(), listed);
    }

    #[test]
    fn the_prefix_is_put_in_everywhere() {
        for (name, statement) in Queries::new("x_").all() {
            assert!(!statement.text().contains(PLACEHOLDER), "{name}");
            assert!(statement.text().contains("x_"), "{name}");
            assert!(
                statement.text().starts_with("-- "),
                "{name} says what it is"
            );
        }
    }

    /// An empty database with the tables, in memory: plans do not depend on what is in it.
    async fn tables() -> SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new().in_memory(true);
        let mut connection = options.connect().await.expect("a database in memory");
        let tables = crate::migrate::MIGRATIONS;
        for sql in [&[crate::migrate::META], tables].concat() {
            let made = sqlx::raw_sql(sql).execute(&mut connection).await;
            made.expect("the tables are made");
        }
        connection
    }

    /// How SQLite goes about a statement, one step a line.
    async fn plan(connection: &mut SqliteConnection, statement: &Statement) -> Vec<String> {
        let sql = format!("explain query plan {}", statement.text());
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await;
        let rows = rows.expect("the statement is valid");
        rows.iter()
            .map(|row| row.get::<String, _>("detail"))
            .collect()
    }

    /// A step that reads a whole table that may be large. The alias of a table is what a plan calls it.
    fn reads_all(step: &str) -> bool {
        let Some(table) = step.strip_prefix("SCAN ") else {
            return step.contains("AUTOMATIC");
        };
        let small = [
            "jobs_worker",
            "w",
            "jobs_control",
            "jobs_control_event",
            "jobs_tally",
            "lane",
            "above",
            "below",
            "CONSTANT",
            "jobs_limit",
        ];
        let from_memory = table.contains("VIRTUAL TABLE") || table.starts_with('(');
        let name = table.split(' ').next().unwrap_or_default();
        !from_memory && !small.contains(&name) && name != "held"
    }

    /// What people ask may take as long as the answer is; who holds a job is asked of all claims, of which
    /// there are few; and once the clock has stepped back, or a pause has ended, all who wait are looked at.
    fn may_read_all(name: &str) -> bool {
        name.starts_with("inspect_")
            || name == "held_by"
            || name == "clock_ahead"
            || name == "lines_all"
    }

    #[tokio::test]
    async fn no_verb_reads_a_whole_table() {
        let mut connection = tables().await;
        for (name, statement) in Queries::new(PLACEHOLDER).all() {
            let steps = plan(&mut connection, statement).await;
            let whole = steps.iter().any(|step| reads_all(step));
            assert!(!whole || may_read_all(name), "{name}: {steps:#?}");
        }
    }

    #[tokio::test]
    async fn the_hot_path_uses_whole_keys() {
        let mut connection = tables().await;
        let queries = Queries::new(PLACEHOLDER);
        for (statement, step) in [
            (
                &queries.lanes,
                "SEARCH t USING PRIMARY KEY ((queue,priority,run_at,job_id)>(?,?,?,?))",
            ),
            (
                &queries.claim_pick,
                "SEARCH t USING PRIMARY KEY (queue=? AND priority=? AND run_at<?)",
            ),
            (
                &queries.claim_take,
                "SEARCH jobs_ticket USING PRIMARY KEY (queue=? AND priority=? AND (run_at,job_id)<(?,?))",
            ),
            (
                &queries.retain_pick,
                "SEARCH jobs_job USING INDEX jobs_job_finished (state=? AND finished_at<?)",
            ),
            (
                &queries.retain_kept,
                "SEARCH jobs_job USING INDEX jobs_job_kept (<expr><?)",
            ),
            (&queries.settle, "SEARCH jobs_job USING PRIMARY KEY (id=?)"),
            (
                &queries.settle_fence,
                "SEARCH j USING PRIMARY KEY (id=?) LEFT-JOIN",
            ),
            (
                &queries.inspect_ended_badly,
                "SEARCH j USING INDEX jobs_job_ended_badly (state=? AND id<?)",
            ),
        ] {
            let steps = plan(&mut connection, statement).await;
            assert!(
                steps.iter().any(|found| found == step),
                "{step}: {steps:#?}"
            );
        }
    }
}
