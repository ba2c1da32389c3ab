//! What all workers are told: what to leave alone, and what to serve first.

use chrono::{DateTime, Utc};
use jobs_core::job::{Due, QueueOrder};
use jobs_core::storage::{
    Control, ControlEvent, ControlVerb, Controls, OrderRecord, Pause, PauseRecord, Scope, Wake,
};
use jobs_core::{Error, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::insert::LONGEST_WAIT;
use crate::store::Store;

/// The scope of the row that says in which order queues are served.
const ORDER: &str = "order";

pub(crate) async fn control(store: &Store, control: &Control) -> Result<()> {
    let (scope, name) = control.verb.scope().map_or((ORDER, ""), Scope::as_parts);
    let value = match &control.verb {
        ControlVerb::Order(Some(order)) => Some(written(order)?),
        _ => None,
    };
    let (ends_at, ends_in) = match &control.verb {
        ControlVerb::Pause(_, Some(end)) => end_of(*end),
        _ => (None, None),
    };
    let statement = store
        .statement(&store.sql.control)
        .bind(control.verb.as_str())
        .bind(scope)
        .bind(name)
        .bind(value)
        .bind(ends_at)
        .bind(ends_in)
        .bind(&*control.actor)
        .bind(control.reason.as_deref());
    let doing = format!("{} {scope} {name}", control.verb.as_str());
    store.rows(doing.trim_end(), statement).await?;
    store.wakes.tell_here(Wake::Queues);
    Ok(())
}

fn written(order: &QueueOrder) -> Result<String> {
    serde_json::to_string(order).map_err(|error| Error::Storage {
        doing: "write down the order of queues".into(),
        source: error.into(),
    })
}

fn end_of(end: Due) -> (Option<DateTime<Utc>>, Option<f64>) {
    match end {
        Due::Now => (None, Some(0.0)),
        Due::In(time) => (None, Some(time.as_secs_f64().min(LONGEST_WAIT))),
        Due::At(at) => (Some(at), None),
    }
}

/// What cannot be read was written by a later version, or by hand: workers then go on in their own order.
pub(crate) fn order(text: Option<&str>) -> Option<QueueOrder> {
    text.and_then(|text| serde_json::from_str(text).ok())
}

pub(crate) async fn controls(store: &Store) -> Result<Controls> {
    let statement = store.statement(&store.sql.controls);
    let rows = store.rows("list what is paused", statement).await?;
    let mut controls = Controls::default();
    for row in &rows {
        if row.get::<&str, _>("scope") == ORDER {
            controls.order = order(row.get("value")).map(|order| OrderRecord {
                order,
                actor: row.get("actor"),
                reason: row.get("reason"),
                since: row.get("since"),
            });
        } else if let Some(scope) = scope(row) {
            let pause = pause(row, row.get("since"));
            controls.pauses.push(PauseRecord { scope, pause });
        }
    }
    Ok(controls)
}

fn scope(row: &PgRow) -> Option<Scope> {
    Scope::from_parts(row.get("scope"), row.get("name"))
}

/// The pause that a row with these columns tells of.
pub(crate) fn pause(row: &PgRow, since: DateTime<Utc>) -> Pause {
    let mut pause = Pause::new(row.get::<&str, _>("actor"), since);
    pause.reason = row.get("reason");
    pause.until = row.get("ends_at");
    pause
}

pub(crate) async fn events(store: &Store, limit: usize) -> Result<Vec<ControlEvent>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let statement = store.statement(&store.sql.control_events).bind(limit);
    let rows = store.rows("list what workers were told", statement).await?;
    let named = |row: &PgRow, scope: &str| {
        let is_one = row.get::<&str, _>("scope") == scope;
        is_one.then(|| row.get::<String, _>("name"))
    };
    let rule = |row: &PgRow| {
        let text = row.get::<Option<&str>, _>("value")?;
        crate::limits::written(&named(row, Scope::LIMIT)?, text)
    };
    let event = |row: &PgRow| ControlEvent {
        at: row.get("at"),
        verb: row.get("verb"),
        scope: scope(row),
        recurring: named(row, Scope::RECURRING),
        limit: named(row, Scope::LIMIT),
        rule: rule(row),
        until: row.get("ends_at"),
        order: named(row, ORDER).and_then(|_| order(row.get("value"))),
        actor: row.get("actor"),
        reason: row.get("reason"),
    };
    Ok(rows.iter().map(event).collect())
}
