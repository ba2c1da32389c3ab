//! What follows when jobs have become final, through whatever door: their keys are free, their batches count
//! them, those that wait for them are looked at, and those that wait for these, until nothing follows any
//! more.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;
use uuid::Uuid;

use jobs_core::job::{ParentId, Rules, State};

use super::batch::{Counts, Ended};
use super::parents::{condition, parent_of, uuid_of};
use super::{Step, expiry, ids_of, read_rules};
use crate::encode::{self, Hex};
use crate::fault;

/// Who ended, and how.
type Ends = BTreeMap<ParentId, State>;

pub(super) async fn ended(step: &mut Step<'_>, jobs: Vec<(Uuid, State)>) -> fault::Result<()> {
    let ends = jobs.into_iter();
    let ends = ends.map(|(job, how)| (ParentId::Job(job.into()), how));
    follow(step, ends.collect(), Counts::default()).await
}

impl Step<'_> {
    /// Sees to what follows when batches have ended.
    pub(super) async fn batches_ended(&mut self, batches: Vec<Ended>) -> fault::Result<()> {
        let (mut ends, mut counts) = (Ends::new(), Counts::default());
        add(batches, &mut ends, &mut counts);
        follow(self, ends, counts).await
    }
}

/// Batches that have ended are among those that have, and members of others.
fn add(batches: Vec<Ended>, ends: &mut Ends, counts: &mut Counts) {
    for batch in batches {
        ends.insert(ParentId::Batch(batch.id), batch.how);
        if let Some(parent) = batch.parent {
            counts.ended(parent, batch.how, 1);
        }
    }
}

/// `counts`: members that have ended otherwise than as jobs.
async fn follow(step: &mut Step<'_>, mut ends: Ends, mut counts: Counts) -> fault::Result<()> {
    while !ends.is_empty() {
        let mut next = resolve(step, &ends).await?;
        leave(step, &ends, &mut counts).await?;
        let batches = std::mem::take(&mut counts).close(step).await?;
        add(batches, &mut next, &mut counts);
        ends = next;
    }
    Ok(())
}

/// Jobs that have ended leave what they held: keys, and places among those that are not final.
async fn leave(step: &mut Step<'_>, ends: &Ends, counts: &mut Counts) -> fault::Result<()> {
    let jobs = ends.keys().filter(|end| matches!(end, ParentId::Job(_)));
    let ids = ids_of(jobs.map(|job| uuid_of(*job)))?;
    let touched = step.queries.touched.query().bind(ids);
    let (mut keys, mut expiries) = (Vec::new(), Vec::new());
    let mut runs = Vec::new();
    for row in touched.fetch_all(&mut *step.tx).await? {
        let id: Uuid = row.try_get(0)?;
        runs.push((id, None));
        let Some(rules) = read_rules(row.try_get(2)?) else {
            continue;
        };
        let kind: String = row.try_get(1)?;
        keys.extend(key(&rules, kind, id));
        if let Some(time) = rules.expires_in {
            expiries.push((expiry::ends(row.try_get(3)?, time), Hex(id)));
        }
        let how = ends.get(&ParentId::Job(id.into()));
        if let (Some(batch), Some(how)) = (rules.batch, how) {
            counts.ended(batch.as_uuid(), *how, 1);
        }
    }
    step.free(&runs).await?;
    if !keys.is_empty() {
        let free = step.queries.unique_free.query().bind(encode::rows(keys)?);
        free.execute(&mut *step.tx).await?;
    }
    if !expiries.is_empty() {
        let drop = step.queries.expiry_drop.query();
        let drop = drop.bind(encode::rows(expiries)?);
        drop.execute(&mut *step.tx).await?;
    }
    Ok(())
}

/// The key that a job held until its end.
fn key(rules: &Rules, kind: String, id: Uuid) -> Option<(String, String, Hex)> {
    let unique = rules.unique.as_ref()?;
    let ends = unique.until.ends_with_job();
    ends.then(|| (kind, unique.key.clone(), Hex(id)))
}

/// One level: who ends because these have ended.
async fn resolve(step: &mut Step<'_>, ends: &Ends) -> fault::Result<Ends> {
    let found = look(step, ends).await?;
    let next = lose(step, &found.impossible).await?;
    if !found.met.is_empty() {
        let pairs = found.met.iter();
        let pairs = encode::rows(pairs.map(|(parent, child)| (Hex(*parent), Hex(*child))))?;
        let met = step.queries.dependency_met.query().bind(pairs);
        met.execute(&mut *step.tx).await?;
        // Both parents of a child may be among them.
        let mut fewer: BTreeMap<Uuid, i64> = BTreeMap::new();
        for (_, child) in &found.met {
            *fewer.entry(*child).or_default() += 1;
        }
        let rows = encode::rows(fewer.iter().map(|(child, n)| (Hex(*child), n)))?;
        let pending = step.queries.pending.query().bind(rows);
        pending.execute(&mut *step.tx).await?;
        step.make_ready(fewer.into_keys()).await?;
    }
    Ok(next)
}

/// Ends jobs that wait for what cannot happen any more.
async fn lose(step: &mut Step<'_>, lost: &BTreeMap<Uuid, String>) -> fault::Result<Ends> {
    let lost: Vec<(Uuid, String)> = lost.iter().map(|(job, why)| (*job, why.clone())).collect();
    step.delete(&lost).await?;
    let ended = lost.into_iter();
    Ok(ended
        .map(|(job, _)| (ParentId::Job(job.into()), State::Deleted))
        .collect())
}

/// Sees to those who wait for jobs or batches (ids) that are about to be removed. These are Failed, and will
/// not run again; or `why` says otherwise.
pub(super) async fn removed(
    step: &mut Step<'_>,
    parents: &str,
    why: Option<&str>,
) -> fault::Result<()> {
    let waiting = step.queries.retain_awaiting.query();
    let waiting = waiting.bind(parents.to_owned());
    let mut lost = BTreeMap::new();
    for row in waiting.fetch_all(&mut *step.tx).await? {
        let parent = parent_of(row.try_get(1)?, row.try_get(2)?);
        let failed = || format!("{} and was removed", parent.reason(State::Failed));
        let why = || why.map_or_else(failed, str::to_owned);
        lost.entry(row.try_get(0)?).or_insert_with(why);
    }
    let ends = lose(step, &lost).await?;
    follow(step, ends, Counts::default()).await
}

/// What the ends of parents mean for their children.
#[derive(Default)]
struct Found {
    /// Parents and children.
    met: BTreeSet<(Uuid, Uuid)>,
    /// Children, and why.
    impossible: BTreeMap<Uuid, String>,
}

async fn look(step: &mut Step<'_>, outcomes: &Ends) -> fault::Result<Found> {
    let ids = ids_of(outcomes.keys().map(|parent| uuid_of(*parent)))?;
    let dependants = step.queries.dependants.query().bind(ids);
    let mut found = Found::default();
    for row in dependants.fetch_all(&mut *step.tx).await? {
        let (parent, child): (Uuid, Uuid) = (row.try_get(0)?, row.try_get(1)?);
        let of = parent_of(parent, row.try_get(3)?);
        let Some(outcome) = outcomes.get(&of) else {
            continue;
        };
        match condition(row.try_get(2)?)?.met_by(*outcome) {
            None => {}
            Some(true) => {
                found.met.insert((parent, child));
            }
            Some(false) => {
                let why = || of.reason(*outcome);
                found.impossible.entry(child).or_insert_with(why);
            }
        }
    }
    found
        .met
        .retain(|(_, child)| !found.impossible.contains_key(child));
    Ok(found)
}

impl Step<'_> {
    /// Those of the jobs that wait for nobody any more wait for their time.
    pub(super) async fn make_ready(
        &mut self,
        jobs: impl Iterator<Item = Uuid>,
    ) -> fault::Result<()> {
        let ready = self.queries.ready.query().bind(ids_of(jobs)?);
        let rows = ready.bind(self.now).fetch_all(&mut *self.tx).await?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            ids.push(row.try_get::<Uuid, _>(0)?);
            self.hints.jobs(row.try_get(1)?);
        }
        self.place(&ids).await
    }
}
