//! Jobs that are not to be started after a time.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::tables::{Job, Place, Tables};
use crate::clock::later;
use crate::job::JobId;
use crate::lifecycle::in_words;

/// When which job expires, if it has not been started.
pub(super) type Expiry = BTreeSet<(DateTime<Utc>, JobId)>;

impl Job {
    fn expires_in(&self) -> Option<Duration> {
        self.rules.as_ref()?.expires_in
    }

    fn was_started(&self) -> bool {
        self.attempt > 0 || self.lost > 0 || self.started_at.is_some()
    }
}

impl Tables {
    /// Notes when a job that has just been stored expires.
    pub(super) fn expires(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        if let Some(time) = job.expires_in() {
            self.expiry.insert((later(job.created_at, time), id));
        }
    }

    /// A job is final and expires no more, though it be run again.
    pub(super) fn never_expires(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        if let Some(time) = job.expires_in() {
            self.expiry.remove(&(later(job.created_at, time), id));
        }
    }

    /// Deletes the jobs whose time is over and that were never started. One that a worker holds may be
    /// starting: it is looked at again when it is back.
    pub(super) fn expire(&mut self, now: DateTime<Utc>) {
        let over = self.expiry.iter().take_while(|(at, _)| *at <= now);
        for (at, id) in over.copied().collect::<Vec<_>>() {
            let Some(job) = self.jobs.get(&id) else {
                self.expiry.remove(&(at, id));
                continue;
            };
            if job.was_started() {
                self.expiry.remove(&(at, id));
            } else if !matches!(job.place, Place::Claim(_)) {
                let time = in_words(job.expires_in().unwrap_or_default());
                self.delete(id, format!("was not started within {time}"), now);
            }
        }
    }
}
