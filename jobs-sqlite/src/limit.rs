//! Limits, as workers and operators speak of them.

use jobs_core::job::LimitRule;
use jobs_core::storage::{Scope, Start, check_limit};
use jobs_core::{Error, Result};

use crate::SqliteStorage;
use crate::clock;
use crate::rules::{self, Step};
use crate::wake::Hints;
use crate::writer::Durability;

impl SqliteStorage {
    pub(crate) async fn note_start(&self, start: Start) -> Result<bool> {
        let wakes = self.0.wakes.clone();
        let noted = self.0.writer.run(
            // After a power failure nothing runs that this could be counted against.
            Durability::Process,
            move |tx, queries| {
                Box::pin(async move {
                    let mut step = Step::new(tx, queries, clock::now());
                    let is_ours = step.start(&start).await?;
                    Ok((is_ours, step.finish().await?))
                })
            },
            move |(_, hints): &(bool, Hints)| hints.send(&wakes),
        );
        noted
            .await
            .map(|(is_ours, _)| is_ours)
            .map_err(|fault| fault.during("saying that a job starts"))
    }

    pub(crate) async fn choose_limit(
        &self,
        name: &str,
        rule: Option<&LimitRule>,
        (actor, reason): (&str, Option<&str>),
    ) -> Result<()> {
        if let Some(rule) = rule {
            check_limit(rule)?;
            if rule.name != name {
                let other = &rule.name;
                let why = format!("limit {name} cannot be set to a rule for limit {other}");
                return Err(Error::Invalid(why));
            }
        }
        let (name, rule) = (name.to_owned(), rule.cloned());
        let (actor, reason) = (actor.to_owned(), reason.map(str::to_owned));
        let value = rule
            .as_ref()
            .and_then(|rule| serde_json::to_string(rule).ok());
        self.step("setting a limit", move |tx, queries| {
            let (name, rule) = (name.clone(), rule.clone());
            let event = queries.control_event.query().bind(clock::now());
            let event = event.bind(if rule.is_some() { "set" } else { "reset" });
            let event = event.bind(Scope::LIMIT).bind(name.clone());
            let event = event.bind(value.clone()).bind(None::<i64>);
            let event = event.bind(actor.clone()).bind(reason.clone());
            Box::pin(async move {
                event.execute(&mut *tx).await?;
                let mut step = Step::new(tx, queries, clock::now());
                rules::choose(&mut step, &name, rule.as_ref()).await?;
                Ok(((), step.finish().await?))
            })
        })
        .await
    }
}
