//! What recurs.

use std::collections::{HashMap, HashSet};

use chrono::Utc;
use jobs_core::job::{JobId, NewJob, RecurringRecord};
use jobs_core::lifecycle::{RecurringChange, RecurringEvent};
use jobs_core::storage::{
    Changed, Inserted, Judgement, RecurringDue, RecurringRequest, Wake, Within, judge,
    read_recurring, stand_ins,
};
use jobs_core::{Error, Result};
use sqlx::Row;
use uuid::Uuid;

use crate::PgStorage;
use crate::pool::Lease;
use crate::store::{Store, bounds};

pub(crate) async fn due(store: &Store, request: &RecurringRequest) -> Result<RecurringDue> {
    let (at, id) = match &request.after {
        Some((at, id)) => (Some(*at), id.as_str()),
        None => (None, ""),
    };
    let statement = store
        .statement(&store.sql.recurring_due)
        .bind(request.kinds.to_vec())
        .bind(at)
        .bind(id.to_owned())
        .bind(size(request.limit));
    let asked = Utc::now();
    let row = store.row("look for what recurs", statement).await?;
    let now = row.get("now");
    store.clock.learn(asked, now);
    let (ids, records): (Vec<String>, Vec<String>) = (row.get("ids"), row.get("records"));
    let records = ids.iter().zip(&records);
    Ok(RecurringDue {
        now,
        records: records
            .filter_map(|(id, record)| read_recurring(id, record))
            .collect(),
        next: row.get("next"),
    })
}

pub(crate) async fn one(store: &Store, id: &str) -> Result<Option<RecurringRecord>> {
    let statement = store.statement(&store.sql.recurring).bind(id.to_owned());
    let rows = store.rows("read what recurs", statement).await?;
    Ok(rows
        .first()
        .and_then(|row| read_recurring(id, row.get("record"))))
}

pub(crate) async fn page(
    store: &Store,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<RecurringRecord>> {
    let statement = store
        .statement(&store.sql.recurring_page)
        .bind(after.unwrap_or_default().to_owned())
        .bind(size(limit));
    let rows = store.rows("list what recurs", statement).await?;
    let record = |row| read_recurring(Row::get(row, "id"), Row::get(row, "record"));
    Ok(rows.iter().filter_map(record).collect())
}

fn size(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// One transaction: the records are locked, those that are as they should be are changed, and the jobs
/// are stored. A process that dies in it has done nothing.
pub(crate) async fn change(
    storage: &PgStorage,
    changes: &[RecurringChange],
) -> Result<Vec<Changed>> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let store = &*storage.store;
    let doing = match changes {
        [change] => format!("change the recurring job {}", change.id),
        changes => format!("change {} recurring jobs", changes.len()),
    };
    let mut lease = store.acquire(&doing).await?;
    lease.begin(&doing).await?;
    let made = make(storage, &mut lease, &doing, changes).await;
    let (answers, jobs) = match made {
        Ok(made) => made,
        Err(error) => {
            if !matches!(error, Error::Unavailable { .. }) {
                lease.rollback(&doing).await?;
            }
            return Err(error);
        }
    };
    lease.commit(&doing).await?;
    let queues: HashSet<&str> = jobs.iter().map(|job| &*job.queue).collect();
    for queue in queues {
        store.wakes.tell_here(Wake::Jobs(queue.into()));
    }
    Ok(answers)
}

async fn make(
    storage: &PgStorage,
    lease: &mut Lease<'_>,
    doing: &str,
    changes: &[RecurringChange],
) -> Result<(Vec<Changed>, Vec<NewJob>)> {
    let store = &*storage.store;
    let judged = judge_all(store, lease, doing, changes).await?;
    let mut answers: Vec<_> = judged.iter().map(|judgement| judgement.answer).collect();
    // Before the jobs are stored: one that somebody else has just made has none.
    let made = put(store, lease, doing, changes, &judged).await?;
    for ((change, judgement), answer) in changes.iter().zip(&judged).zip(&mut answers) {
        let creates = change.from.is_none() && judgement.write.is_some();
        if creates && !made.contains(&change.id) {
            *answer = Changed::Stale;
        }
    }
    let both = changes.iter().zip(&judged);
    let done: Vec<_> = both
        .zip(&answers)
        .filter(|(_, answer)| **answer != Changed::Stale)
        .map(|(both, _)| both)
        .collect();
    note(store, lease, doing, &done).await?;
    let jobs = done.iter().flat_map(|(_, judgement)| judgement.jobs);
    let jobs: Vec<NewJob> = jobs.cloned().collect();
    if !jobs.is_empty() {
        let inserted = lease.insert_within(storage, doing, &jobs).await?;
        let others = stand_ins(&jobs, &inserted);
        let rewritten = |(change, judgement): &(&RecurringChange, &Judgement<'_>)| {
            judgement.rewrite(change, &others)
        };
        let records: Vec<_> = done.iter().filter_map(rewritten).collect();
        let records: Vec<_> = records.iter().map(|record| (record, false)).collect();
        write(store, lease, doing, &records).await?;
    }
    Ok((answers, jobs))
}

/// Writes down what operators did.
async fn note(
    store: &Store,
    lease: &mut Lease<'_>,
    doing: &str,
    done: &[(&RecurringChange, &Judgement<'_>)],
) -> Result<()> {
    let written = done
        .iter()
        .filter(|(_, judgement)| judgement.write.is_some());
    let events: Vec<(&str, &RecurringEvent)> = written
        .filter_map(|(change, _)| Some((&*change.id, change.event.as_deref()?)))
        .collect();
    if events.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&RecurringEvent) -> Option<String>| -> Vec<Option<String>> {
        events.iter().map(|(_, event)| of(event)).collect()
    };
    let ids: Vec<String> = events.iter().map(|(id, _)| (*id).to_owned()).collect();
    let ends: Vec<_> = events.iter().map(|(_, event)| event.until).collect();
    let statement = store
        .statement(&store.sql.recurring_events)
        .bind(texts(|event| Some(event.verb.as_str().into())))
        .bind(ids)
        .bind(ends)
        .bind(texts(|event| Some(event.by.actor.clone())))
        .bind(texts(|event| event.by.reason.clone()));
    lease.rows(doing, statement).await?;
    Ok(())
}

async fn judge_all<'c>(
    store: &Store,
    lease: &mut Lease<'_>,
    doing: &str,
    changes: &'c [RecurringChange],
) -> Result<Vec<Judgement<'c>>> {
    let ids: Vec<_> = changes.iter().map(|change| change.id.clone()).collect();
    let lock = store.statement(&store.sql.recurring_lock).bind(ids);
    let rows = lease.rows(doing, lock).await?;
    let versions: HashMap<String, Option<Uuid>> = rows
        .iter()
        .map(|row| (row.get("id"), row.get("version")))
        .collect();
    let holds = changes.iter().filter_map(|change| change.hold.as_ref());
    let jobs: Vec<JobId> = holds.map(|hold| hold.job).collect();
    let unfinished = unfinished(store, lease, doing, &jobs).await?;
    let judge = |change: &'c RecurringChange| match versions.get(&change.id) {
        // Somebody else is changing it.
        Some(None) => Judgement::stale(),
        found => judge(change, found.copied().flatten(), |job| {
            unfinished.contains(&job.as_uuid())
        }),
    };
    Ok(changes.iter().map(judge).collect())
}

async fn unfinished(
    store: &Store,
    lease: &mut Lease<'_>,
    doing: &str,
    jobs: &[JobId],
) -> Result<HashSet<Uuid>> {
    if jobs.is_empty() {
        return Ok(HashSet::new());
    }
    let (low, high) = bounds(jobs.iter().copied());
    let statement = store
        .statement(&store.sql.recurring_unfinished)
        .bind(jobs.iter().map(|job| job.as_uuid()).collect::<Vec<_>>())
        .bind(low)
        .bind(high);
    let rows = lease.rows(doing, statement).await?;
    Ok(rows.iter().map(|row| row.get("id")).collect())
}

/// Writes and removes records; answers which were made.
async fn put(
    store: &Store,
    lease: &mut Lease<'_>,
    doing: &str,
    changes: &[RecurringChange],
    judged: &[Judgement<'_>],
) -> Result<HashSet<String>> {
    let written = || {
        let all = changes.iter().zip(judged);
        all.filter_map(|(change, judgement)| Some((change, judgement.write?)))
    };
    let gone: Vec<String> = written()
        .filter(|(_, record)| record.is_none())
        .map(|(change, _)| change.id.clone())
        .collect();
    if !gone.is_empty() {
        let remove = store.statement(&store.sql.recurring_remove).bind(gone);
        lease.rows(doing, remove).await?;
    }
    let records: Vec<(&RecurringRecord, bool)> = written()
        .filter_map(|(change, record)| Some((record?, change.from.is_none())))
        .collect();
    write(store, lease, doing, &records).await
}

/// Makes records, or replaces them, as each is marked; answers which were made.
async fn write(
    store: &Store,
    lease: &mut Lease<'_>,
    doing: &str,
    records: &[(&RecurringRecord, bool)],
) -> Result<HashSet<String>> {
    if records.is_empty() {
        return Ok(HashSet::new());
    }
    fn column<'r, T>(
        records: &[(&'r RecurringRecord, bool)],
        of: impl Fn(&'r RecurringRecord) -> T,
    ) -> Vec<T> {
        records.iter().map(|(record, _)| of(record)).collect()
    }
    let text = |record| serde_json::to_string(record).expect("a record is plain data");
    let statement = store
        .statement(&store.sql.recurring_put)
        .bind(column(records, |record| record.id.clone()))
        .bind(column(records, |record| record.version))
        .bind(column(records, |record| record.spec.kind.clone()))
        .bind(column(records, RecurringRecord::look_at))
        .bind(column(records, text))
        .bind(records.iter().map(|(_, new)| *new).collect::<Vec<_>>());
    let rows = lease.rows(doing, statement).await?;
    Ok(rows.iter().map(|row| row.get("id")).collect())
}

impl Lease<'_> {
    /// Stores jobs in the open transaction, as in one of a caller's.
    async fn insert_within(
        &mut self,
        storage: &PgStorage,
        doing: &str,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>> {
        let patience = self.patience;
        let insert = Within::insert(self.transaction(), storage, jobs);
        let answer = tokio::time::timeout(patience, insert).await;
        let slow = |_| Error::Unavailable {
            doing: doing.into(),
            source: "no answer".into(),
        };
        answer.map_err(slow)?
    }
}
