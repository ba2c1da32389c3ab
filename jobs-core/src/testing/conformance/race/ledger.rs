//! What the storage has answered so far. Some of it may never be, whatever comes later: that is found
//! when it is written down.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::job::{BatchId, ClaimId, JobId, WorkerId};
use crate::lifecycle::Transition;
use crate::storage::{Answer, Command, Refusal, Refused, Rescued, Settlement, Verb};

use super::super::stage::Run;

/// How a run ended, of those ways that its worker chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    Succeeded,
    Failed,
    Retried,
    Snoozed,
    Released,
    Deleted,
}

impl End {
    fn of(transition: &Transition) -> Self {
        match transition {
            Transition::Succeed { .. } => Self::Succeeded,
            Transition::Fail { .. } => Self::Failed,
            Transition::Retry { .. } => Self::Retried,
            Transition::Snooze { .. } => Self::Snoozed,
            Transition::Release { .. } => Self::Released,
            Transition::Delete { .. } => Self::Deleted,
        }
    }
}

/// An outcome that the storage says it has written down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    pub(super) worker: WorkerId,
    pub(super) end: End,
    /// Whether an answer said that it was applied just now, and not before.
    applied: bool,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    /// Every job that was stored.
    pub(super) jobs: Vec<JobId>,
    /// Which claim each run was handed out under.
    pub(super) claimed: HashMap<(JobId, i32), ClaimId>,
    pub(super) settled: HashMap<(JobId, i32), Settled>,
    pub(super) verbs: HashMap<JobId, Vec<Verb>>,
    pub(super) rescued: Rescued,
    pub(super) refused: u64,
    pub(super) batches: Vec<BatchId>,
    /// Jobs that were Deleted with their batches.
    pub(super) cancelled: u64,
    /// Answers that named another job, which held the key.
    held: u64,
}

#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Books>);

impl Ledger {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stored were these; of the others so many have heard who holds their key.
    pub(super) fn stored(&self, ids: &[JobId], held: u64) {
        let mut books = self.books();
        books.jobs.extend(ids);
        books.held += held;
    }

    /// A run is handed out once, and not after it has ended.
    pub(super) fn claimed(&self, runs: &[Run]) {
        let mut books = self.books();
        for run in runs {
            let (id, number, claim) = (run.id, run.run, run.claim);
            let before = books.claimed.insert((id, number), claim);
            assert_eq!(
                before, None,
                "run {number} of {id} was handed out twice, now as {claim}"
            );
            let ended = books.settled.get(&(id, number));
            assert!(
                ended.is_none(),
                "run {number} of {id} was handed out after it ended: {ended:?}"
            );
        }
    }

    /// An outcome is applied once, and no other worker's for the same run.
    pub(super) fn settled(&self, worker: WorkerId, sent: &[Settlement], refused: &[Refused]) {
        let mut books = self.books();
        for run in sent {
            let key = (run.job, run.run);
            let answer = refused.iter().find(|no| (no.job, no.run) == key);
            let applied = match answer.map(|no| no.why) {
                None => true,
                Some(Refusal::AlreadySettled) => false,
                Some(_) => {
                    books.refused += 1;
                    continue;
                }
            };
            let settled = Settled {
                worker,
                end: End::of(&run.transition),
                applied,
            };
            let entry = books.settled.entry(key).or_insert(Settled {
                applied: false,
                ..settled
            });
            let (job, number) = key;
            assert_eq!(
                entry.worker, worker,
                "run {number} of {job} was ended by two workers: {:?} and {:?}",
                entry.end, settled.end
            );
            assert!(
                !(entry.applied && applied),
                "the outcome of run {number} of {job} was applied twice: {:?}",
                entry.end
            );
            entry.applied |= applied;
        }
    }

    pub(super) fn ordered(&self, command: &Command, answers: &[Answer]) {
        let mut books = self.books();
        for (&id, answer) in command.jobs.iter().zip(answers) {
            assert_ne!(*answer, Answer::Unknown, "job {id} is stored");
            if matches!(answer, Answer::Done { .. }) {
                books.verbs.entry(id).or_default().push(command.verb);
            }
        }
    }

    pub(super) fn rescued(&self, rescued: Rescued) {
        let mut books = self.books();
        books.rescued.released += rescued.released;
        books.rescued.failed += rescued.failed;
    }

    /// What has not happened yet: a race in which nothing collided would prove nothing.
    pub(super) fn is_missing(&self, rules: bool) -> Option<&'static str> {
        let books = self.books();
        let rare = [
            (books.refused > 0, "no outcome came too late"),
            (books.rescued.released > 0, "no job was rescued"),
            (!books.verbs.is_empty(), "no operator did anything"),
            (
                !rules || books.held > 0,
                "nobody met a key that another held",
            ),
            (!rules || !books.batches.is_empty(), "no batch was stored"),
        ];
        let mut missing = rare.into_iter().filter(|(happened, _)| !happened);
        missing.next().map(|(_, what)| what)
    }

    pub(super) fn tell(&self) {
        let books = self.books();
        println!(
            "{} jobs, {} runs handed out, {} outcomes written down, {} refused, {} jobs rescued",
            books.jobs.len(),
            books.claimed.len(),
            books.settled.len(),
            books.refused,
            books.rescued.released + books.rescued.failed,
        );
        println!(
            "{} batches, {} members cancelled, {} times a key was held",
            books.batches.len(),
            books.cancelled,
            books.held
        );
    }
}
