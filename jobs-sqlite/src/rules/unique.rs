//! Keys that only one job of a kind holds at a time.

use std::collections::HashMap;

use sqlx::Row;
use uuid::Uuid;

use jobs_core::job::{JobId, NewJob, OnConflict, Rules, Unique};

use super::{Refusal, Step, Told, ids_of};
use crate::encode::{self, Hex};
use crate::fault::{self, Fault};
use crate::queries::Queries;

/// A kind and a key.
type Name = (String, String);

/// Who gets a key and who does not, of the jobs of one request.
#[derive(Default)]
pub(super) struct Keys {
    /// [kind, key, job, expires_at]
    taken: Vec<(String, String, Hex, Option<i64>)>,
    /// Jobs that are not stored, and who holds their keys.
    pub(super) held: Vec<(NewJob, JobId)>,
}

impl Keys {
    /// Looks for the keys of `jobs`, which are new; leaves those among them that are to be stored, waiting
    /// for the holders of keys in the place of those that are not.
    pub(super) async fn look(
        step: &mut Step<'_>,
        jobs: &mut Vec<NewJob>,
    ) -> fault::Result<Told<Self>> {
        let mut found = Self::default();
        let names = jobs.iter().filter_map(name);
        let names: Vec<Name> = names.collect();
        if names.is_empty() {
            return Ok(Ok(found));
        }
        let mut holders = holders(step, &names).await?;
        let mut fresh = Vec::with_capacity(jobs.len());
        for job in jobs.drain(..) {
            let Some((name, unique)) = name(&job).zip(unique(&job)) else {
                fresh.push(job);
                continue;
            };
            match holders.get(&name) {
                Some(holder) if unique.on_conflict == OnConflict::Error => {
                    return Ok(Err(Refusal::Duplicate {
                        holder: *holder,
                        key: name.1,
                    }));
                }
                Some(holder) => found.held.push((job, *holder)),
                None => {
                    holders.insert(name.clone(), job.id);
                    let expires_at = expires_at(unique, step.now);
                    let id = Hex(job.id.as_uuid());
                    found.taken.push((name.0, name.1, id, expires_at));
                    fresh.push(job);
                }
            }
        }
        *jobs = fresh;
        found.follow(jobs);
        Ok(Ok(found))
    }

    /// Lets the children of jobs that are not stored wait for the holders of their keys.
    fn follow(&self, jobs: &mut [NewJob]) {
        if self.held.is_empty() {
            return;
        }
        let instead: HashMap<JobId, JobId> = self
            .held
            .iter()
            .map(|(job, holder)| (job.id, *holder))
            .collect();
        for rules in jobs.iter_mut().filter_map(|job| job.rules.as_deref_mut()) {
            rules.follow(&instead);
        }
    }

    pub(super) async fn take(&self, step: &mut Step<'_>) -> fault::Result<()> {
        if self.taken.is_empty() {
            return Ok(());
        }
        let take = step.queries.unique_take.query();
        let take = take.bind(encode::rows(&self.taken)?);
        take.execute(&mut *step.tx).await?;
        Ok(())
    }

    /// Makes of the holders what those who could not have their keys would have been.
    pub(super) async fn merge(&self, step: &mut Step<'_>) -> fault::Result<()> {
        for (job, holder) in &self.held {
            let how = unique(job).map(|unique| unique.on_conflict);
            let due = job.due.at(encode::time(step.now));
            match how {
                Some(OnConflict::Replace) => merge(step, job, *holder, None).await?,
                Some(OnConflict::Debounce) => {
                    merge(step, job, *holder, Some(encode::micros(due))).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn unique(job: &NewJob) -> Option<&Unique> {
    job.rules.as_ref()?.unique.as_ref()
}

/// When a key that is taken now is free in any case.
pub(super) fn expires_at(unique: &Unique, now: i64) -> Option<i64> {
    let time = unique.until.time()?;
    Some(now.saturating_add(encode::span(time)))
}

fn name(job: &NewJob) -> Option<Name> {
    unique(job).map(|unique| (job.kind.as_ref().to_owned(), unique.key.clone()))
}

/// Who holds keys now.
pub(crate) async fn holders(
    step: &mut Step<'_>,
    names: &[Name],
) -> fault::Result<HashMap<Name, JobId>> {
    let holders = step.queries.unique_holders.query();
    let holders = holders.bind(encode::rows(names)?).bind(step.now);
    let rows = holders.fetch_all(&mut *step.tx).await?;
    let holder = |row: &sqlx::sqlite::SqliteRow| {
        let name = (row.try_get(0)?, row.try_get(1)?);
        Ok((name, row.try_get::<Uuid, _>(2)?.into()))
    };
    rows.iter().map(holder).collect()
}

/// Makes of a job that waits what another would have been, and keeps its due time if none is given.
async fn merge(
    step: &mut Step<'_>,
    job: &NewJob,
    holder: JobId,
    due: Option<i64>,
) -> fault::Result<()> {
    let ids = ids_of([holder.as_uuid()])?;
    let pick = step.queries.merge_pick.query().bind(ids.clone());
    let Some(row) = pick.fetch_optional(&mut *step.tx).await? else {
        // It runs, or has ended.
        return Ok(());
    };
    let waits = row.try_get::<&str, _>(0)? == "waiting";
    let rules: Option<String> = row.try_get(1)?;
    let limits = job.rules.iter().flat_map(|rules| &rules.limits);
    let mut rules: Rules = super::read_rules(rules.as_deref()).unwrap_or_default();
    // What a limit is counted by is made from the arguments.
    rules.limits = limits.cloned().collect();
    let options = (!job.options.is_default()).then_some(&job.options);
    let texts = || -> serde_json::Result<_> {
        let options = options.map(serde_json::to_string).transpose()?;
        Ok((options, serde_json::to_string(&rules)?))
    };
    let (options, rules) = texts().map_err(|error| Fault::Refused(error.to_string()))?;
    let new = (
        Hex(holder.as_uuid()),
        &job.args,
        &job.queue,
        job.priority.get(),
        options,
        job.options.keep_for.map(encode::span),
        due,
        rules,
    );
    if waits {
        step.lift(&[holder.as_uuid()]).await?;
    }
    let Queries {
        retain_tag,
        merge,
        tag,
        ..
    } = step.queries;
    for (statement, value) in [
        (retain_tag, ids.clone()),
        (merge, encode::rows([new])?),
        (tag, ids),
    ] {
        let query = statement.query().bind(value);
        query.execute(&mut *step.tx).await?;
    }
    if waits {
        step.hints.jobs(&job.queue);
        step.place(&[holder.as_uuid()]).await?;
    }
    Ok(())
}
