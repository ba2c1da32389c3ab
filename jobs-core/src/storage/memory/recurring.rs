//! What recurs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::tables::{Place, Tables};
use crate::error::Result;
use crate::job::{JobId, RecurringRecord};
use crate::lifecycle::RecurringChange;
use crate::storage::{Changed, RecurringDue, RecurringRequest, judge, stand_ins};

/// What recurs, by id and by when it has to be looked at.
#[derive(Debug, Default)]
pub(super) struct Recurrings {
    by_id: BTreeMap<String, RecurringRecord>,
    by_time: BTreeSet<(DateTime<Utc>, String)>,
}

impl Recurrings {
    pub(super) fn get(&self, id: &str) -> Option<&RecurringRecord> {
        self.by_id.get(id)
    }

    pub(super) fn page(&self, after: Option<&str>, limit: usize) -> Vec<RecurringRecord> {
        let later = |id: &&String| after.is_none_or(|after| id.as_str() > after);
        let records = self.by_id.iter().filter(|(id, _)| later(id));
        records
            .take(limit)
            .map(|(_, record)| record.clone())
            .collect()
    }

    pub(super) fn due(&self, request: &RecurringRequest, now: DateTime<Utc>) -> RecurringDue {
        let known = |id: &String| {
            let record = self.by_id.get(id)?;
            request.kinds.contains(&record.spec.kind).then_some(record)
        };
        let first = |from: (DateTime<Utc>, String)| {
            let later = self.by_time.range(from..);
            later.filter_map(|(at, id)| known(id).map(|record| (at, id, record)))
        };
        let after = request.after.clone();
        let from = after
            .clone()
            .unwrap_or((DateTime::<Utc>::MIN_UTC, String::new()));
        let records = first(from)
            .filter(|(at, id, _)| {
                after
                    .as_ref()
                    .is_none_or(|(last, name)| (*at, *id) > (last, name))
            })
            .take_while(|(at, ..)| **at <= now)
            .take(request.limit)
            .map(|(_, _, record)| record.clone())
            .collect();
        let next = first((now, String::new()))
            .map(|(at, ..)| *at)
            .find(|at| *at > now);
        RecurringDue { now, records, next }
    }

    fn put(&mut self, id: &str, record: Option<&RecurringRecord>) {
        if let Some(at) = self.by_id.remove(id).and_then(|old| old.look_at()) {
            self.by_time.remove(&(at, id.to_owned()));
        }
        let Some(record) = record else {
            return;
        };
        if let Some(at) = record.look_at() {
            self.by_time.insert((at, id.to_owned()));
        }
        self.by_id.insert(id.to_owned(), record.clone());
    }
}

impl Tables {
    pub(super) fn change_recurring(
        &mut self,
        changes: &[RecurringChange],
        now: DateTime<Utc>,
    ) -> Result<Vec<Changed>> {
        let version = |id| self.recurrings.get(id).map(|record| record.version);
        let judged: Vec<_> = changes
            .iter()
            .map(|change| judge(change, version(&change.id), |job| self.is_unfinished(job)))
            .collect();
        let jobs: Vec<_> = judged
            .iter()
            .flat_map(|judgement| judgement.jobs)
            .cloned()
            .collect();
        let others = stand_ins(&jobs, &self.insert(&jobs, now)?);
        for (change, judgement) in changes.iter().zip(&judged) {
            let Some(record) = judgement.write else {
                continue;
            };
            let rewritten = judgement.rewrite(change, &others);
            self.recurrings
                .put(&change.id, rewritten.as_ref().or(record));
            if let Some(event) = &change.event {
                self.told.note(&change.id, event, now);
            }
        }
        Ok(judged.iter().map(|judgement| judgement.answer).collect())
    }

    fn is_unfinished(&self, id: JobId) -> bool {
        let job = self.jobs.get(&id);
        job.is_some_and(|job| !matches!(job.place, Place::Final(_)))
    }
}
