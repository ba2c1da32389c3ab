//! Limits: written down as programs declare them and operators set them, and kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jobs_core::job::{Bound, Excess, LimitRule, NewJob};
use jobs_core::lifecycle::in_words;
use jobs_core::storage::{LimitRecord, Start};
use jobs_core::{Error, Result};
use serde::Deserialize;
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::store::Store;

/// For this long it is not asked whether a limit is still as it was declared here.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// How many jobs one statement moves into a line.
const CHUNK: i32 = 1_000;

/// What this process has declared, and when.
#[derive(Default)]
pub(crate) struct Declared(Mutex<HashMap<String, (LimitRule, Instant)>>);

impl Declared {
    /// The rules that these jobs bring and that are not known to be written down, each once.
    pub(crate) fn unknown(&self, jobs: &[NewJob]) -> Vec<LimitRule> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new: Vec<LimitRule> = Vec::new();
        let rules = jobs.iter().filter_map(|job| job.rules.as_ref());
        for one in rules.flat_map(|rules| &rules.limits) {
            let is_known = known
                .get(&*one.rule.name)
                .is_some_and(|(rule, at)| *rule == one.rule && at.elapsed() < KNOWN_FOR);
            if !is_known {
                new.retain(|rule| rule.name != one.rule.name);
                new.push(one.rule.clone());
            }
        }
        new
    }

    fn learn(&self, rule: LimitRule) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(rule.name.to_string(), (rule, Instant::now()));
    }
}

/// Writes down rules as programs declare them; never in a transaction of the caller's, where others would wait for it.
pub(crate) async fn declare(store: &Store, rules: Vec<LimitRule>) -> Result<()> {
    for rule in rules {
        let declared = Change::Declared(encode(&rule));
        write(store, &rule.name, declared, (None, None)).await?;
        limit_queue(store, &rule.name).await?;
        store.declared.learn(rule);
    }
    Ok(())
}

/// What follows from it may run into somebody else's locks. It is not begun anew then, which would be another deed: the upkeep
/// does what is left.
pub(crate) async fn set(
    store: &Store,
    name: &str,
    rule: Option<&LimitRule>,
    (actor, reason): (&str, Option<&str>),
) -> Result<()> {
    if let Some(rule) = rule {
        rule.check()?;
        if rule.name != name {
            let other = &rule.name;
            return Err(Error::Invalid(format!(
                "the rule for limit {name} is one for {other}"
            )));
        }
    }
    let is_there = write(
        store,
        name,
        Change::Set(rule.map(encode)),
        (Some(actor), reason),
    )
    .await?;
    let followed = match is_there {
        true => limit_queue(store, name).await,
        false => unlimit(store, name).await,
    };
    store.kick();
    followed.or_else(|error| match error.is_conflict() {
        true => Ok(()),
        false => Err(error),
    })
}

async fn unlimit(store: &Store, name: &str) -> Result<()> {
    let statement = store.statement(&store.sql.unlimit).bind(name.to_owned());
    let row = store.slow_row("take a limit away", statement).await?;
    store.followed(&row);
    Ok(())
}

/// A rule as a program declares it, or as an operator sets it, or lets it be as it is declared.
enum Change {
    Declared(String),
    Set(Option<String>),
}

async fn write(
    store: &Store,
    name: &str,
    change: Change,
    (actor, reason): (Option<&str>, Option<&str>),
) -> Result<bool> {
    let unset = matches!(change, Change::Set(None));
    let (declared, set) = match change {
        Change::Declared(rule) => (Some(rule), None),
        Change::Set(rule) => (None, rule),
    };
    let statement = store
        .statement(&store.sql.write_limit)
        .bind(name.to_owned())
        .bind(declared)
        .bind(set)
        .bind(unset)
        .bind(actor)
        .bind(reason);
    let row = store.row("write a limit down", statement).await?;
    Ok(row.get(0))
}

/// Who waits in the queue of a limit of a queue gets in line.
async fn limit_queue(store: &Store, name: &str) -> Result<()> {
    let Some(queue) = name.strip_prefix("queue:") else {
        return Ok(());
    };
    store.queues_are_limited(true);
    loop {
        let statement = store.statement(&store.sql.limit_queue);
        let statement = statement.bind(queue.to_owned()).bind(CHUNK);
        let row = store.row("limit a queue", statement).await?;
        if row.get::<i64, _>(0) == 0 {
            return Ok(());
        }
    }
}

/// The rule without its name, and the reason that it gives to jobs.
fn encode(rule: &LimitRule) -> String {
    let name = &rule.name;
    let reason = match rule.excess {
        Excess::Reschedule(time) => format!("Limit {name} is reached: again in {}", in_words(time)),
        _ => format!("Limit {name} is reached"),
    };
    serde_json::json!({ "bound": rule.bound, "excess": rule.excess, "reason": reason }).to_string()
}

#[derive(Deserialize)]
struct Written {
    bound: Bound,
    excess: Excess,
}

/// What an event says that a limit was set to.
pub(crate) fn written(name: &str, text: &str) -> Option<LimitRule> {
    let rule: Written = serde_json::from_str(text).ok()?;
    Some(rule.named(name))
}

impl Written {
    fn named(self, name: &str) -> LimitRule {
        LimitRule {
            name: name.to_owned().into(),
            bound: self.bound,
            excess: self.excess,
        }
    }
}

pub(crate) async fn records(store: &Store) -> Result<Vec<LimitRecord>> {
    let rows = store
        .rows("list limits", store.statement(&store.sql.limits))
        .await?;
    rows.iter().map(record).collect()
}

fn record(row: &PgRow) -> Result<LimitRecord> {
    let read = |column: &str| -> Result<Option<Written>> {
        let text: Option<&str> = row.get_unchecked(column);
        let read = text.map(serde_json::from_str).transpose();
        read.map_err(|error| Error::Storage {
            doing: "read a limit".into(),
            source: Box::new(error),
        })
    };
    let (declared, set) = (read("declared")?, read("set_to")?);
    let is_set = set.is_some();
    let own = declared.as_ref().map(|rule| (rule.bound, rule.excess));
    let Some(rule) = set.or(declared) else {
        return Err(Error::Storage {
            doing: "read a limit".into(),
            source: "it is neither declared nor set".into(),
        });
    };
    let mut record = LimitRecord::new(rule.named(row.get("name")));
    record.declared = own.filter(|_| is_set);
    record.used = row.get::<f64, _>("used").ceil().max(0.0) as u64;
    record.waiting = row.get::<i64, _>("waiting") as u64;
    Ok(record)
}

pub(crate) async fn start(store: &Store, start: &Start) -> Result<bool> {
    let statement = store
        .statement(&store.sql.start)
        .bind(start.worker.as_uuid())
        .bind(start.claim.as_uuid())
        .bind(start.job.as_uuid())
        .bind(start.run);
    let row = store.row("start a job", statement).await?;
    store.kick();
    Ok(row.get(0))
}
