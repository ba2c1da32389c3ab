//! The jobs that are final, in the order in which they will go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::tables::Job;
use crate::clock::{earlier, later};
use crate::job::{JobId, State};
use crate::storage::Retention;

/// What is final, by when it ended, or, if it says itself how long it is kept, by when it goes.
#[derive(Debug, Default)]
pub(super) struct Finished {
    by_end: BTreeMap<State, BTreeSet<(DateTime<Utc>, JobId)>>,
    by_expiry: BTreeSet<(DateTime<Utc>, JobId)>,
    counts: BTreeMap<State, u64>,
}

impl Job {
    pub(super) fn keep_for(&self) -> Option<Duration> {
        self.options.as_ref().and_then(|options| options.keep_for)
    }
}

impl Finished {
    pub(super) fn add(
        &mut self,
        id: JobId,
        state: State,
        at: DateTime<Utc>,
        keep: Option<Duration>,
    ) {
        *self.counts.entry(state).or_default() += 1;
        match keep {
            None => self.by_end.entry(state).or_default().insert((at, id)),
            Some(keep) => self.by_expiry.insert((later(at, keep), id)),
        };
    }

    pub(super) fn remove(
        &mut self,
        id: JobId,
        state: State,
        at: DateTime<Utc>,
        keep: Option<Duration>,
    ) {
        *self.counts.entry(state).or_default() -= 1;
        match keep {
            None => self.by_end.entry(state).or_default().remove(&(at, id)),
            Some(keep) => self.by_expiry.remove(&(later(at, keep), id)),
        };
    }

    pub(super) fn count(&self, state: State) -> u64 {
        self.counts.get(&state).copied().unwrap_or_default()
    }

    /// Jobs whose time is up, `most` at most.
    pub(super) fn expired(
        &self,
        retention: &Retention,
        now: DateTime<Utc>,
        most: usize,
    ) -> Vec<JobId> {
        let ended = [
            (State::Succeeded, retention.succeeded),
            (State::Failed, retention.failed),
            (State::Deleted, retention.deleted),
        ];
        let by_end = ended.into_iter().flat_map(|(state, keep)| {
            let last = earlier(now, keep);
            let jobs = self.by_end.get(&state).into_iter().flatten();
            jobs.take_while(move |(at, _)| *at <= last)
        });
        let by_expiry = self.by_expiry.iter().take_while(|(at, _)| *at <= now);
        by_end
            .chain(by_expiry)
            .take(most)
            .map(|(_, id)| *id)
            .collect()
    }
}
