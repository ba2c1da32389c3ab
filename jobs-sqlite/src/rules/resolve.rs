//! What follows when jobs have become final, through whatever door: those that wait for them are looked at,
//! and those that wait for these, until nothing follows any more.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;
use uuid::Uuid;

use jobs_core::job::{ParentId, State};

use super::parents::{condition, parent_of, uuid_of};
use super::{Step, ids_of};
use crate::encode::{self, Hex};
use crate::fault;

/// Who ended, and how.
type Ends = Vec<(ParentId, State)>;

pub(super) async fn ended(step: &mut Step<'_>, jobs: Vec<(Uuid, State)>) -> fault::Result<()> {
    let ends = jobs.into_iter();
    let ends = ends.map(|(job, how)| (ParentId::Job(job.into()), how));
    follow(step, ends.collect()).await
}

async fn follow(step: &mut Step<'_>, mut ends: Ends) -> fault::Result<()> {
    while !ends.is_empty() {
        ends = resolve(step, ends).await?;
    }
    Ok(())
}

/// One level: who ends because these have ended.
async fn resolve(step: &mut Step<'_>, ends: Ends) -> fault::Result<Ends> {
    let outcomes: BTreeMap<ParentId, State> = ends.into_iter().collect();
    let found = look(step, &outcomes).await?;
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
async fn lose(step: &mut Step<'_>, lost: &BTreeMap<Uuid, Lost>) -> fault::Result<Ends> {
    if lost.is_empty() {
        return Ok(Ends::new());
    }
    let reasons = lost.iter().map(|(id, lost)| (Hex(*id), &lost.reason));
    let delete = step.queries.impossible.query().bind(encode::rows(reasons)?);
    delete.bind(step.now).execute(&mut *step.tx).await?;
    let ids: Vec<Uuid> = lost.keys().copied().collect();
    step.forget_parents(&ids).await?;
    let mut ends = Ends::with_capacity(lost.len());
    for (id, lost) in lost {
        step.counted.of(&lost.queue, &lost.kind).deleted += 1;
        ends.push((ParentId::Job((*id).into()), State::Deleted));
    }
    Ok(ends)
}

/// Sees to those who wait for jobs that are about to be removed: these will not run again.
pub(super) async fn removed(step: &mut Step<'_>, jobs: &str) -> fault::Result<()> {
    let waiting = step.queries.retain_awaiting.query().bind(jobs.to_owned());
    let mut lost = BTreeMap::new();
    for row in waiting.fetch_all(&mut *step.tx).await? {
        let parent = parent_of(row.try_get(3)?, false);
        let one = Lost {
            reason: format!("{} and was removed", parent.reason(State::Failed)),
            queue: row.try_get(1)?,
            kind: row.try_get(2)?,
        };
        lost.entry(row.try_get(0)?).or_insert(one);
    }
    let ends = lose(step, &lost).await?;
    follow(step, ends).await
}

/// What the ends of parents mean for their children.
#[derive(Default)]
struct Found {
    /// Parents and children.
    met: BTreeSet<(Uuid, Uuid)>,
    impossible: BTreeMap<Uuid, Lost>,
}

/// A job that waits for what cannot happen any more.
struct Lost {
    reason: String,
    queue: String,
    kind: String,
}

async fn look(step: &mut Step<'_>, outcomes: &BTreeMap<ParentId, State>) -> fault::Result<Found> {
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
                let lost = Lost {
                    reason: of.reason(*outcome),
                    queue: row.try_get(4)?,
                    kind: row.try_get(5)?,
                };
                found.impossible.entry(child).or_insert(lost);
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
