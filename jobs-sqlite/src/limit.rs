//! Limits, as workers and operators speak of them.

use jobs_core::job::LimitRule;
use jobs_core::storage::{Start, check_limit};
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

    pub(crate) async fn choose_limit(&self, name: &str, rule: Option<&LimitRule>) -> Result<()> {
        if let Some(rule) = rule {
            check_limit(rule)?;
            if rule.name != name {
                let other = &rule.name;
                let why = format!("limit {name} cannot be set to a rule for limit {other}");
                return Err(Error::Invalid(why));
            }
        }
        let (name, rule) = (name.to_owned(), rule.cloned());
        self.step("setting a limit", move |tx, queries| {
            let (name, rule) = (name.clone(), rule.clone());
            Box::pin(async move {
                let mut step = Step::new(tx, queries, clock::now());
                rules::choose(&mut step, &name, rule.as_ref()).await?;
                Ok(((), step.finish().await?))
            })
        })
        .await
    }
}
