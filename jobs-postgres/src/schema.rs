//! The name of the schema, and the statements with it filled in.

use std::fmt;
use std::sync::Arc;

use jobs_core::{Error, Result};

/// A checked schema name. The SQL files say `jobs.` and `'jobs:jobs'` (the channel); this is the
/// only place where those are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schema(String);

/// PostgreSQL cuts names at 63 bytes, and the channel is five longer than the schema.
const LONGEST: usize = 58;

impl Schema {
    pub(crate) const DEFAULT: &'static str = "jobs";

    pub(crate) fn new(name: &str) -> Result<Self> {
        let refused = |why: &str| {
            let shown: String = name.chars().take(80).collect();
            Err(Error::Invalid(format!(
                "{shown:?} cannot be the schema of the jobs: {why}"
            )))
        };
        let quoting = |c: char| c.is_control() || matches!(c, '"' | '\'' | '\\' | '$');
        match name {
            "" => refused("it is empty"),
            _ if name.len() > LONGEST => refused("it is longer than 58 bytes"),
            _ if name.contains(quoting) => refused(
                "it contains a quotation mark, a backslash, a dollar sign or a control character",
            ),
            "public" | "information_schema" => {
                refused("that schema is not ours; name one that holds nothing else")
            }
            _ if name.starts_with("pg_") => refused("PostgreSQL keeps names with pg_ for itself"),
            _ => Ok(Self(name.into())),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// The channel that wake-ups come by.
    pub(crate) fn channel(&self) -> String {
        format!("jobs:{}", self.0)
    }

    /// A statement with this schema in it. Which characters a name may have was checked, so quoting
    /// is all it takes.
    pub(crate) fn render(&self, sql: &str) -> Arc<str> {
        sql.replace("'jobs:jobs'", &format!("'{}'", self.channel()))
            .replace("jobs.", &format!("\"{}\".", self.0))
            .into()
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

macro_rules! statements {
    ($($name:ident)*) => {
        /// Every statement of `queries/`, one field for each file, with the schema filled in.
        pub(crate) struct Statements {
            $(pub(crate) $name: Arc<str>,)*
        }

        impl Statements {
            pub(crate) fn new(schema: &Schema) -> Self {
                Self {
                    $($name: schema.render(include_str!(concat!("queries/", stringify!($name), ".sql"))),)*
                }
            }

            /// Name and text of each.
            #[cfg(test)]
            pub(crate) fn all(&self) -> Vec<(&'static str, Arc<str>)> {
                vec![$((stringify!($name), self.$name.clone()),)*]
            }
        }
    };
}

statements! {
    abandon
    admit
    adopt_claims
    attempts
    awaited
    batch
    batches_in
    beat
    begin_care
    cancel_batch
    cancelled_batches
    claim
    close
    command
    complete
    control
    control_events
    controls
    counts
    days
    delete_held
    delete_last
    delete_members
    drop_day
    empty_day
    events
    end_batch
    expire
    expire_batches
    expire_by_own_word
    expire_unstarted
    expiries
    fold
    fold_batches
    give_back
    insert
    insert_again
    insert_taken
    insert_with_rules
    insert_with_rules_within
    job
    job_page
    job_page_awaiting
    job_page_batch
    job_page_children
    job_page_claim
    job_page_failed
    job_page_ticket
    lanes
    lanes_in_use
    limit_queue
    limits
    look_for_lost
    make_day
    next_due
    notify
    presences
    queues
    recover
    recurring
    recurring_due
    recurring_events
    recurring_lock
    recurring_page
    recurring_put
    recurring_remove
    recurring_unfinished
    refused
    register
    release_started
    remove_unsealed
    reopen_batch
    rescue
    retire
    revoked
    seal_batch
    settle
    settle_success
    start
    stats
    suspect
    sweep
    tidy
    unlimit
    upkeep
    work_off
    workers
    write_limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_quoting_are_quoted() {
        let schema = Schema::new("My jobs-1").unwrap();
        assert_eq!(
            &*schema.render("select 'jobs:jobs' from jobs.job"),
            "select 'jobs:My jobs-1' from \"My jobs-1\".job"
        );
    }

    #[test]
    fn names_that_cannot_be_are_refused_with_the_reason() {
        let long = "x".repeat(59);
        for (name, why) in [
            ("", "empty"),
            (long.as_str(), "58 bytes"),
            ("a\"b", "quotation mark"),
            ("a'b", "quotation mark"),
            ("a$$b", "dollar"),
            ("a\0b", "control"),
            ("public", "not ours"),
            ("pg_jobs", "PostgreSQL"),
        ] {
            let error = Schema::new(name).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
