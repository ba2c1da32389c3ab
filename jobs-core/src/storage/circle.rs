//! Jobs and batches that would wait for each other in a circle, so that none of them ever ran.
//!
//! A job waits for its parents, and a batch for its members. What is stored already waits for new jobs only
//! through the batches that these are put into; so a circle with it can only be closed by a new member of a
//! batch that waits for somebody who waits himself.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::error::Error;
use crate::job::{NewJob, ParentId};

/// How many of those who wait are told in an error.
const TOLD: usize = 10;

/// Who waits for whom.
#[derive(Debug, Default)]
pub(super) struct Waits(HashMap<ParentId, Vec<ParentId>>);

impl Waits {
    pub(super) fn add(&mut self, waiter: ParentId, awaited: ParentId) {
        self.0.entry(waiter).or_default().push(awaited);
    }

    /// The edges of new jobs: they wait for their parents, and their batches for them.
    pub(super) fn of<'j>(jobs: impl IntoIterator<Item = &'j NewJob>) -> Self {
        let mut waits = Self::default();
        for job in jobs {
            let Some(rules) = job.rules.as_deref() else {
                continue;
            };
            let id = ParentId::Job(job.id);
            if let Some(batch) = rules.batch {
                waits.add(ParentId::Batch(batch), id);
            }
            parents(job).for_each(|parent| waits.add(id, parent));
        }
        waits
    }

    /// A circle among them, if there is one: each waits for the next, and the last for the first.
    pub(super) fn circle(&self) -> Option<Vec<ParentId>> {
        let mut over: HashSet<ParentId> = HashSet::new();
        // In order, so that the same circle is told in the same words.
        let starts: BTreeSet<_> = self.0.keys().copied().collect();
        for start in starts {
            let mut path = vec![(start, self.awaited(start))];
            let mut on_path = HashSet::from([start]);
            while let Some((node, rest)) = path.last_mut() {
                let node = *node;
                match rest.next() {
                    Some(next) if on_path.contains(&next) => {
                        let from = path.iter().position(|(node, _)| *node == next)?;
                        return Some(path[from..].iter().map(|(node, _)| *node).collect());
                    }
                    Some(next) if !over.contains(&next) => {
                        path.push((next, self.awaited(next)));
                        on_path.insert(next);
                    }
                    Some(_) => {}
                    None => {
                        over.insert(node);
                        on_path.remove(&node);
                        path.pop();
                    }
                }
            }
        }
        None
    }

    fn awaited(&self, waiter: ParentId) -> impl Iterator<Item = ParentId> + '_ {
        self.0.get(&waiter).into_iter().flatten().copied()
    }
}

fn parents(job: &NewJob) -> impl Iterator<Item = ParentId> {
    let parents = job.rules.iter().flat_map(|rules| &rules.parents);
    parents.map(|parent| parent.of)
}

/// The [`Error::Invalid`] for those who would wait for each other: each for the next, the last for the first.
pub fn waits_in_a_circle(circle: &[ParentId]) -> Error {
    let mut told: Vec<_> = circle.iter().take(TOLD).map(ToString::to_string).collect();
    if circle.len() > TOLD {
        told.push(format!("{} more", circle.len() - TOLD));
    }
    let first = circle.first().map(ToString::to_string).unwrap_or_default();
    Error::Invalid(format!(
        "{first} would wait for itself, in a circle in which nobody could ever run: {} → {first}; leave one of the \
         `.after(..)` or `.in_batch(..)` out",
        told.join(" → ")
    ))
}

/// A search for circles that new jobs would close with what is stored. It goes from the new jobs to those who
/// wait for them, and for those, so that it is short where few wait for a batch, however large that is.
///
/// ```
/// # use jobs_core::job::{NewJob, ParentId};
/// # use jobs_core::storage::CircleSearch;
/// # fn who_waits_for(_: &ParentId) -> Vec<ParentId> { vec![] }
/// # fn waits(_: ParentId) -> bool { true }
/// # fn check(jobs: &[NewJob]) -> jobs_core::Result<()> {
/// let mut search = CircleSearch::new(jobs.iter(), waits);
/// while let Some(some) = search.next() {
///     for awaited in &some {
///         for waiter in who_waits_for(awaited) {
///             search.found(waiter, *awaited);
///         }
///     }
/// }
/// search.end()
/// # }
/// ```
#[derive(Debug)]
pub struct CircleSearch {
    /// What has been found.
    waits: Waits,
    /// Who waits for whom in the request.
    new: HashMap<ParentId, Vec<ParentId>>,
    /// Those that are not stored yet.
    fresh: HashSet<ParentId>,
    seen: HashSet<ParentId>,
    next: Vec<ParentId>,
    left: usize,
}

impl CircleSearch {
    /// At how many jobs and batches a search looks, beside those that are new. A circle in which more than
    /// that take part, or beside which more than that wait, is not found.
    pub const LIMIT: usize = 1_000;

    /// A search for circles through these jobs, which are about to be stored. (Their batch is stored already.)
    /// `waits` says of a parent that is not among them whether it waits itself: a batch that has not ended,
    /// or a job that is Awaiting. Without such a parent there is nothing to look for.
    pub fn new<'j>(
        jobs: impl Iterator<Item = &'j NewJob> + Clone,
        mut waits: impl FnMut(ParentId) -> bool,
    ) -> Self {
        let mut search = Self {
            waits: Waits::default(),
            new: HashMap::new(),
            fresh: HashSet::new(),
            seen: HashSet::new(),
            next: Vec::new(),
            left: Self::LIMIT,
        };
        let id = |job: &NewJob| ParentId::Job(job.id);
        if jobs.clone().all(|job| parents(job).next().is_none()) {
            return search;
        }
        let fresh: HashSet<_> = jobs.clone().map(id).collect();
        let mut known = HashMap::new();
        let mut waits_for_one = |job: &&NewJob| {
            let mut outside = parents(job).filter(|parent| !fresh.contains(parent));
            outside.any(|of| *known.entry(of).or_insert_with(|| waits(of)))
        };
        let starts: Vec<_> = jobs
            .clone()
            .filter(|job| waits_for_one(job))
            .map(id)
            .collect();
        if starts.is_empty() {
            return search;
        }
        search.fresh = fresh;
        for (waiter, awaited) in Waits::of(jobs).0 {
            for one in awaited {
                search.new.entry(one).or_default().push(waiter);
            }
        }
        for start in starts {
            search.reach(start);
        }
        search
    }

    /// Those whose waiters in the storage are to be [found](Self::found) next: children that wait for them, the
    /// batch of a job, the batch around a batch. None when there is no more to look at.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is answered between two calls"
    )]
    pub fn next(&mut self) -> Option<Vec<ParentId>> {
        let next = std::mem::take(&mut self.next);
        (!next.is_empty()).then_some(next)
    }

    /// Somebody waits for one of them.
    pub fn found(&mut self, waiter: ParentId, awaited: ParentId) {
        self.waits.add(waiter, awaited);
        self.reach(waiter);
    }

    /// Refuses a circle, if there is one, with [`Error::Invalid`].
    pub fn end(self) -> crate::Result<()> {
        match self.waits.circle() {
            Some(circle) => Err(waits_in_a_circle(&circle)),
            None => Ok(()),
        }
    }

    /// Looks at who waits for this in the request, and notes that the storage is to be asked.
    fn reach(&mut self, one: ParentId) {
        let mut reached = vec![one];
        while let Some(one) = reached.pop() {
            if self.seen.contains(&one) {
                continue;
            }
            if !self.fresh.contains(&one) {
                let Some(left) = self.left.checked_sub(1) else {
                    continue;
                };
                self.left = left;
                self.next.push(one);
            }
            self.seen.insert(one);
            for &waiter in self.new.get(&one).into_iter().flatten() {
                self.waits.add(waiter, one);
                reached.push(waiter);
            }
        }
    }
}
