//! Counters for each minute, queue and kind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::storage::StatRecord;

type Key = (DateTime<Utc>, Arc<str>, Arc<str>);

#[derive(Debug, Default)]
pub(super) struct Stats(BTreeMap<Key, StatRecord>);

impl Stats {
    /// The counters of the minute of `now`, to be raised.
    pub(super) fn at(
        &mut self,
        now: DateTime<Utc>,
        queue: &Arc<str>,
        kind: &Arc<str>,
    ) -> &mut StatRecord {
        let minute = minute_of(now);
        let key = (minute, queue.clone(), kind.clone());
        self.0.entry(key).or_insert_with(|| StatRecord {
            minute,
            queue: queue.to_string(),
            kind: kind.to_string(),
            ..StatRecord::default()
        })
    }

    pub(super) fn between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<StatRecord> {
        let first: Key = (from, "".into(), "".into());
        self.0
            .range(first..)
            .take_while(|((minute, ..), _)| *minute < to)
            .map(|(_, stat)| stat.clone())
            .collect()
    }

    pub(super) fn forget_before(&mut self, oldest: DateTime<Utc>) {
        self.0 = self.0.split_off(&(oldest, "".into(), "".into()));
    }
}

impl StatRecord {
    /// Adds the running time of one attempt.
    pub(super) fn ran(&mut self, ran_for: Option<Duration>) {
        self.run_millis += ran_for.map_or(0, |time| time.as_millis() as u64);
    }
}

fn minute_of(at: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = at.timestamp();
    DateTime::from_timestamp(seconds - seconds.rem_euclid(60), 0).unwrap_or(at)
}
