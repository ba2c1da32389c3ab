//! What all workers are told: what to leave alone, and what to serve first.
//!
//! Two operators at once: their requests follow each other, as everything that is written does.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use jobs_core::Result;
use jobs_core::job::{QueueOrder, QueuePattern};
use jobs_core::storage::{
    Control, ControlEvent, ControlVerb, Controls, OrderRecord, Pause, PauseRecord, Scope, Wake,
};

use crate::SqliteStorage;
use crate::clock;
use crate::encode::time;
use crate::fault::{self, Fault};
use crate::rules::Step;
use crate::wake::Hints;
use crate::writer::Durability;

/// The scope of the row that says in which order queues are served.
const ORDER: &str = "order";

/// What a claim is told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) paused: Vec<QueuePattern>,
    pub(crate) paused_kinds: Vec<String>,
    pub(crate) order: Option<QueueOrder>,
    /// When the first pause ends.
    pub(crate) next_end: Option<i64>,
}

impl SqliteStorage {
    pub(crate) async fn tell(&self, control: &Control) -> Result<()> {
        let (scope, name) = control.verb.scope().map_or((ORDER, ""), Scope::as_parts);
        let (scope, name) = (scope, name.to_owned());
        let value = match &control.verb {
            ControlVerb::Order(Some(order)) => serde_json::to_string(order).ok(),
            _ => None,
        };
        let (control, wakes) = (control.clone(), self.0.wakes.clone());
        let told = self.0.writer.run(
            Durability::Full,
            move |tx, queries| {
                let now = clock::now();
                let ends_at = match &control.verb {
                    ControlVerb::Pause(_, Some(end)) => Some(end.at(time(now)).timestamp_micros()),
                    _ => None,
                };
                let (actor, reason) = (control.actor.clone(), control.reason.clone());
                let sets = matches!(
                    control.verb,
                    ControlVerb::Pause(..) | ControlVerb::Order(Some(_))
                );
                let change = if sets {
                    let set = queries.control_set.query().bind(scope).bind(name.clone());
                    let set = set.bind(value.clone()).bind(actor.clone());
                    set.bind(reason.clone()).bind(now).bind(ends_at)
                } else {
                    let prefix = name.strip_suffix('*').map(str::to_owned);
                    let end = queries.control_end.query().bind(scope).bind(name.clone());
                    end.bind(prefix)
                };
                let event = queries.control_event.query().bind(now);
                let event = event.bind(control.verb.as_str()).bind(scope);
                let event = event.bind(name.clone()).bind(value.clone()).bind(ends_at);
                let event = event.bind(actor).bind(reason);
                Box::pin(async move {
                    change.execute(&mut *tx).await?;
                    event.execute(&mut *tx).await?;
                    let mut step = Step::new(tx, queries, now);
                    step.look_everywhere().await?;
                    step.finish().await
                })
            },
            move |hints: &Hints| {
                hints.send(&wakes);
                // Nobody listens: then nobody needs to know.
                let _ = wakes.send(Wake::Queues);
            },
        );
        told.await
            .map(drop)
            .map_err(|fault| fault.during("telling the workers"))
    }

    pub(crate) async fn told(&self) -> fault::Result<Told> {
        let mut told = Told::default();
        for row in &self.control_rows().await? {
            match Row::try_get::<&str, _>(row, 0)? {
                ORDER => told.order = order(row.try_get(2)?),
                "kind" => told.paused_kinds.push(row.try_get(1)?),
                // What is no pattern was written by hand, and pauses nothing.
                _ => told
                    .paused
                    .extend(QueuePattern::new(row.try_get::<&str, _>(1)?).ok()),
            }
            let ends_at: Option<i64> = row.try_get(6)?;
            told.next_end = ends_at.into_iter().chain(told.next_end).min();
        }
        Ok(told)
    }

    async fn control_rows(&self) -> fault::Result<Vec<SqliteRow>> {
        let controls = self.0.queries.controls.query().bind(clock::now());
        Ok(controls.fetch_all(self.reads()?).await?)
    }

    pub(crate) async fn list_controls(&self) -> fault::Result<Controls> {
        let mut controls = Controls::default();
        for row in &self.control_rows().await? {
            let mut pause = Pause::new(row.try_get::<&str, _>(3)?, time(row.try_get(5)?));
            pause.reason = row.try_get(4)?;
            pause.until = row.try_get::<Option<i64>, _>(6)?.map(time);
            if let Some(scope) = scope(row, 0)? {
                controls.pauses.push(PauseRecord { scope, pause });
            } else if let Some(order) = order(row.try_get(2)?) {
                controls.order = Some(OrderRecord {
                    order,
                    actor: pause.actor,
                    reason: pause.reason,
                    since: pause.since,
                });
            }
        }
        Ok(controls)
    }

    pub(crate) async fn list_control_events(
        &self,
        limit: usize,
    ) -> fault::Result<Vec<ControlEvent>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let events = self.0.queries.inspect_control_events.query().bind(limit);
        let rows = events.fetch_all(self.reads()?).await?;
        rows.iter().map(event).collect()
    }
}

fn event(row: &SqliteRow) -> fault::Result<ControlEvent> {
    let (scoped, name): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
    let named = |scope: &str| (scoped == scope).then(|| name.to_owned());
    let value: Option<&str> = row.try_get(4)?;
    let limit = named(Scope::LIMIT);
    // As with an order: what cannot be read is left out.
    let rule = value.filter(|_| limit.is_some());
    let rule = rule.and_then(|text| serde_json::from_str(text).ok());
    Ok(ControlEvent {
        at: time(row.try_get(0)?),
        verb: row.try_get(1)?,
        scope: scope(row, 2)?,
        recurring: named(Scope::RECURRING),
        limit,
        rule,
        until: row.try_get::<Option<i64>, _>(5)?.map(time),
        order: order(value.filter(|_| scoped == ORDER)),
        actor: row.try_get(6)?,
        reason: row.try_get(7)?,
    })
}

/// The scope that stands in this column and the next.
fn scope(row: &SqliteRow, at: usize) -> std::result::Result<Option<Scope>, Fault> {
    Ok(Scope::from_parts(row.try_get(at)?, row.try_get(at + 1)?))
}

/// What cannot be read was written by a later version, or by hand: workers then go on in their own order.
fn order(text: Option<&str>) -> Option<QueueOrder> {
    text.and_then(|text| serde_json::from_str(text).ok())
}
