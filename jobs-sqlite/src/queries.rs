//! Every statement of this crate: one file each in `queries/`, with the table prefix put in once.

use std::sync::Arc;

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
                }
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
    attempt
    attempt_trim
    beat
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
    event
    held_by
    insert
    inspect_all
    inspect_attempts
    inspect_counts
    inspect_ended_badly
    inspect_events
    inspect_job
    inspect_processing
    inspect_queues
    inspect_stats
    inspect_waiting
    inspect_workers
    lane_due
    lanes
    pause
    paused
    presences
    register
    release
    rescue
    rescue_end
    rescue_pick
    resume
    retain
    retain_attempt
    retain_check
    retain_event
    retain_kept
    retain_pick
    retain_stat
    retain_tag
    retain_worker
    retire
    revoked
    settle
    settle_fence
    stat
    suspect
    tally
    ticket
    untie
    worker_alive
}
