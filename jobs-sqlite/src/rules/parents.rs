//! Jobs that wait for jobs: how a parent's end bears on its child.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use jobs_core::job::{BatchId, Condition, JobId, NewJob, Parent, ParentId, State};
use jobs_core::storage::CircleSearch;

use super::batch;
use super::{Refusal, Step, Told, ids_of};
use crate::fault::{self, Fault};

pub(super) fn condition(text: &str) -> fault::Result<Condition> {
    use Condition::{Any, Deletion, Failure, Success};
    let known = [Success, Failure, Deletion, Any].into_iter();
    let mut named = known.filter(|condition| condition.as_str() == text);
    named
        .next()
        .ok_or_else(|| Fault::Unreadable(format!("{text:?} is not a condition")))
}

pub(crate) fn uuid_of(parent: ParentId) -> Uuid {
    match parent {
        ParentId::Job(job) => job.as_uuid(),
        ParentId::Batch(batch) => batch.as_uuid(),
    }
}

pub(super) fn parent_of(id: Uuid, is_batch: bool) -> ParentId {
    match is_batch {
        true => ParentId::Batch(id.into()),
        false => ParentId::Job(id.into()),
    }
}

/// One of those that a job waits for.
pub(crate) fn awaited(row: &SqliteRow) -> fault::Result<Parent> {
    Ok(Parent {
        of: parent_of(row.try_get(0)?, row.try_get(1)?),
        on: condition(row.try_get(2)?)?,
    })
}

/// A parent of a new job that has not ended as it should.
pub(super) struct Dependency {
    pub(super) parent: ParentId,
    pub(super) condition: Condition,
    pub(super) place: usize,
}

/// What a new job waits for.
#[derive(Default)]
pub(super) struct Waits {
    pub(super) open: Vec<Dependency>,
    /// Why it is Deleted at once.
    pub(super) impossible: Option<String>,
}

/// Whom jobs name as their parents.
type Wanted = BTreeMap<JobId, Vec<(ParentId, Condition)>>;

/// The parents of the jobs of one request: who they are and how they stand.
pub(super) struct Parents {
    /// Of jobs that are about to be stored, by their ids.
    waits: HashMap<JobId, Waits>,
}

impl Parents {
    /// Looks at the parents of `jobs`, which are about to be stored.
    pub(super) async fn look(step: &mut Step<'_>, jobs: &[NewJob]) -> fault::Result<Told<Self>> {
        let fresh: BTreeSet<JobId> = jobs.iter().map(|job| job.id).collect();
        let mut wanted = Wanted::new();
        for job in jobs {
            let parents = job.rules.iter().flat_map(|rules| &rules.parents);
            let parents: Vec<_> = parents.map(|parent| (parent.of, parent.on)).collect();
            if !parents.is_empty() {
                wanted.insert(job.id, parents);
            }
        }
        let stored = outcomes(step, &wanted, &fresh).await?;
        if let Err(why) = no_circle(step, jobs, &stored).await? {
            return Ok(Err(why));
        }
        let mut waits = HashMap::new();
        for (job, parents) in wanted {
            let mut found = Waits::default();
            for (place, (parent, on)) in parents.into_iter().enumerate() {
                let of_request = matches!(parent, ParentId::Job(id) if fresh.contains(&id));
                let outcome = match stored.get(&parent) {
                    _ if of_request => None,
                    Some(known) => known.outcome,
                    None => return Ok(Err(unknown(parent))),
                };
                let met = outcome.and_then(|outcome| on.met_by(outcome));
                match (met, outcome) {
                    (Some(true), _) => {}
                    (Some(false), Some(outcome)) => {
                        let reason = || parent.reason(outcome);
                        found.impossible.get_or_insert_with(reason);
                    }
                    _ => found.open.push(Dependency {
                        parent,
                        condition: on,
                        place,
                    }),
                }
            }
            if found.impossible.is_some() {
                found.open.clear();
            }
            waits.insert(job, found);
        }
        Ok(Ok(Self { waits }))
    }

    pub(super) fn of(&mut self, job: JobId) -> Waits {
        self.waits.remove(&job).unwrap_or_default()
    }
}

fn unknown(parent: ParentId) -> Refusal {
    match parent {
        ParentId::Job(job) => Refusal::UnknownJob(job),
        ParentId::Batch(batch) => Refusal::UnknownBatch(batch),
    }
}

/// None of the new jobs waits for somebody who would wait for it.
async fn no_circle(
    step: &mut Step<'_>,
    jobs: &[NewJob],
    stored: &HashMap<ParentId, Known>,
) -> fault::Result<Told<()>> {
    let waits = |parent| stored.get(&parent).is_some_and(|known| known.waits);
    let mut search = CircleSearch::new(jobs.iter(), waits);
    while let Some(some) = search.next() {
        let waiters = step.queries.waiters.query();
        let waiters = waiters.bind(ids_of(some.into_iter().map(uuid_of))?);
        for row in waiters.fetch_all(&mut *step.tx).await? {
            let awaited = parent_of(row.try_get(0)?, row.try_get(1)?);
            let waiter = parent_of(row.try_get(2)?, row.try_get(3)?);
            search.found(waiter, awaited);
        }
    }
    let found = search.end();
    Ok(found.map_err(|error| Refusal::Invalid(error.to_string())))
}

/// How a parent stands that is stored.
struct Known {
    /// `None` if it has not ended.
    outcome: Option<State>,
    /// It waits itself.
    waits: bool,
}

/// How the parents stand that are stored.
async fn outcomes(
    step: &mut Step<'_>,
    wanted: &Wanted,
    fresh: &BTreeSet<JobId>,
) -> fault::Result<HashMap<ParentId, Known>> {
    let parents = wanted.values().flatten();
    let jobs: BTreeSet<Uuid> = parents
        .filter_map(|(parent, _)| match parent {
            ParentId::Job(id) if !fresh.contains(id) => Some(id.as_uuid()),
            _ => None,
        })
        .collect();
    let mut found = HashMap::new();
    if !jobs.is_empty() {
        let known = step.queries.known.query().bind(ids_of(jobs)?);
        for row in known.fetch_all(&mut *step.tx).await? {
            let id: Uuid = row.try_get(0)?;
            let state = row.try_get::<&str, _>(1)?.parse::<State>().ok();
            let known = Known {
                outcome: state.filter(|state| state.is_final()),
                waits: state == Some(State::Awaiting),
            };
            found.insert(ParentId::Job(id.into()), known);
        }
    }
    let batches = wanted.values().flatten();
    let batches: BTreeSet<BatchId> = batches
        .filter_map(|(parent, _)| match parent {
            ParentId::Batch(id) => Some(*id),
            ParentId::Job(_) => None,
        })
        .collect();
    for batch in batch::records(step, batches).await? {
        let outcome = batch.finished_at.map(|_| batch.outcome());
        let waits = outcome.is_none();
        found.insert(ParentId::Batch(batch.id), Known { outcome, waits });
    }
    Ok(found)
}
