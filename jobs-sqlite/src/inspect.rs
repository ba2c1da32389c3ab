//! The read side. It reads on connections of its own and never keeps a writer waiting.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use jobs_core::Result;
use jobs_core::job::RecurringRecord;
use jobs_core::job::{
    AttemptOutcome, AttemptRecord, BatchId, EventRecord, JobId, JobRecord, Parent, Priority, State,
};
use jobs_core::storage::{
    BatchRecord, ControlEvent, Controls, Inspect, JobFilter, JobPage, LimitRecord, PauseRecord,
    QueueRecord, Scope, StatRecord, StateCounts, WorkerRecord,
};

use crate::SqliteStorage;
use crate::clock;
use crate::command::{holders, state};
use crate::encode::{self, micros, time};
use crate::fault::{self, Fault};
use crate::rules::{self, Step};

const DAY: i64 = 86_400_000_000;

impl SqliteStorage {
    /// The jobs with these ids, newest first; ids that are unknown are left out.
    async fn records(&self, ids: &[Uuid]) -> fault::Result<Vec<JobRecord>> {
        let queries = &self.0.queries;
        let now = clock::now();
        let sent = encode::ids(ids.iter().copied())?;
        let query = queries.inspect_job.query().bind(sent.clone());
        let rows = query.fetch_all(self.reads()?).await?;
        let mut records: Vec<JobRecord> = Vec::with_capacity(rows.len());
        for row in &rows {
            records.push(record(row, now)?);
        }
        let held = |job: &JobRecord| job.state == State::Processing;
        if records.iter().any(held) {
            let holders = holders(self.reads()?, queries, sent).await?;
            for job in records.iter_mut().filter(|job| held(job)) {
                let holder = holders.get(&(job.id.as_uuid(), job.run));
                job.worker = holder.map(|worker| (*worker).into()).or(job.worker);
            }
        }
        Ok(records)
    }

    async fn page(&self, filter: &JobFilter) -> fault::Result<JobPage> {
        let queries = &self.0.queries;
        let size = filter.page_size();
        let (statement, stored) = match filter.state {
            state if filter.waits_for.is_some() => {
                (&queries.inspect_children, state.map(State::as_str))
            }
            state if filter.batch.is_some() => (&queries.inspect_batch, state.map(State::as_str)),
            Some(State::Enqueued) => (&queries.inspect_waiting, Some("enqueued")),
            Some(State::Scheduled) => (&queries.inspect_waiting, Some("scheduled")),
            Some(State::Processing) => (&queries.inspect_processing, Some("processing")),
            Some(ended @ (State::Failed | State::Deleted)) => {
                (&queries.inspect_ended_badly, Some(ended.as_str()))
            }
            Some(State::Awaiting) => (&queries.inspect_awaiting, Some("awaiting")),
            other => (&queries.inspect_all, other.map(State::as_str)),
        };
        let query = statement
            .query()
            .bind(filter.before.map(|id| id.as_uuid()))
            .bind(stored)
            .bind(filter.kind.clone())
            .bind(filter.queue.clone())
            .bind(filter.tag.clone())
            // One more than asked for tells whether there is a next page.
            .bind(size as i64 + 1)
            .bind(clock::now())
            .bind(filter.batch.map(|batch| batch.as_uuid()))
            .bind(filter.waits_for.map(rules::uuid_of));
        let rows = query.fetch_all(self.reads()?).await?;
        let ids: Vec<Uuid> = rows
            .iter()
            .map(|row| Ok(row.try_get(0)?))
            .collect::<fault::Result<_>>()?;
        let shown = &ids[..ids.len().min(size)];
        let next = shown.last().filter(|_| ids.len() > size);
        Ok(JobPage {
            jobs: self.records(shown).await?,
            next: next.map(|id| (*id).into()),
        })
    }
}

fn record(row: &SqliteRow, now: i64) -> fault::Result<JobRecord> {
    let id: JobId = row.try_get::<Uuid, _>(0)?.into();
    let options: Option<&str> = row.try_get(10)?;
    let due_at: i64 = row.try_get(12)?;
    let state = state(row.try_get(5)?, row.try_get(18)?, due_at, now)?;
    let mut job = JobRecord::new(id, row.try_get::<String, _>(1)?, state);
    job.args = row.try_get(2)?;
    job.queue = row.try_get(3)?;
    job.priority = Priority::new(row.try_get(4)?);
    job.reason = row.try_get(6)?;
    job.attempt = row.try_get(7)?;
    job.lost = row.try_get(8)?;
    job.run = row.try_get(9)?;
    if let Some(options) = options {
        job.options = serde_json::from_str(options).map_err(|error| {
            Fault::Unreadable(format!("the options of job {id} cannot be read: {error}"))
        })?;
    }
    let rules: Option<&str> = row.try_get(17)?;
    job.rules = rules.map(read_json).transpose()?;
    job.limited_by = row.try_get(19)?;
    job.created_at = time(row.try_get(11)?);
    job.due_at = time(due_at);
    job.started_at = row.try_get::<Option<i64>, _>(13)?.map(time);
    job.finished_at = row.try_get::<Option<i64>, _>(14)?.map(time);
    job.worker = row.try_get::<Option<Uuid>, _>(15)?.map(Into::into);
    job.result = row.try_get(16)?;
    Ok(job)
}

fn attempt(id: JobId, row: &SqliteRow) -> fault::Result<AttemptRecord> {
    let outcome: &str = row.try_get(5)?;
    let outcome = AttemptOutcome::parse(outcome).ok_or_else(|| {
        Fault::Unreadable(format!(
            "an attempt of job {id} ended in {outcome:?}: unknown"
        ))
    })?;
    let finished_at = time(row.try_get(4)?);
    let mut attempt = AttemptRecord::new(id, row.try_get(0)?, outcome, finished_at);
    attempt.number = row.try_get(1)?;
    attempt.worker = row.try_get::<Option<Uuid>, _>(2)?.map(Into::into);
    attempt.started_at = row.try_get::<Option<i64>, _>(3)?.map(time);
    attempt.reason = row.try_get(6)?;
    let error: Option<&str> = row.try_get(7)?;
    attempt.error = error.map(read_json).transpose()?;
    Ok(attempt)
}

fn event(id: JobId, row: &SqliteRow) -> fault::Result<EventRecord> {
    let state = |at: usize| -> fault::Result<State> {
        let text: &str = row.try_get(at)?;
        text.parse()
            .map_err(|error| Fault::Unreadable(format!("an event of job {id}: {error}")))
    };
    let (verb, actor): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
    let moved = (state(4)?, state(5)?);
    let mut event = EventRecord::new(id, time(row.try_get(0)?), verb, actor, moved);
    event.reason = row.try_get(3)?;
    Ok(event)
}

fn queue(row: &SqliteRow) -> fault::Result<QueueRecord> {
    Ok(QueueRecord {
        name: row.try_get(0)?,
        pause: None,
        enqueued: row.try_get(1)?,
        scheduled: row.try_get(2)?,
        processing: row.try_get(4)?,
        oldest_due: row.try_get::<Option<i64>, _>(3)?.map(time),
    })
}

/// Says of each queue why it stands still, and adds those that are paused by their own name.
fn mark_paused(queues: &mut Vec<QueueRecord>, pauses: Vec<PauseRecord>) {
    let (mut wide, mut own) = (Vec::new(), Vec::new());
    for PauseRecord { scope, pause } in pauses {
        match scope {
            Scope::Queues(pattern) if pattern.exact().is_none() => wide.push((pattern, pause)),
            Scope::Queues(pattern) => own.push((pattern.to_string(), pause)),
            _ => {}
        }
    }
    for (name, _) in &own {
        if let Err(at) = queues.binary_search_by(|queue| queue.name.cmp(name)) {
            let queue = QueueRecord {
                name: name.clone(),
                pause: None,
                enqueued: 0,
                scheduled: 0,
                processing: 0,
                oldest_due: None,
            };
            queues.insert(at, queue);
        }
    }
    for queue in queues {
        let own = own.iter().find(|(name, _)| *name == queue.name);
        let pause = own.map(|(_, pause)| pause).or_else(|| {
            let wide = wide
                .iter()
                .find(|(pattern, _)| pattern.matches(&queue.name));
            wide.map(|(_, pause)| pause)
        });
        queue.pause = pause.cloned();
    }
}

fn worker(row: &SqliteRow) -> fault::Result<WorkerRecord> {
    Ok(WorkerRecord {
        info: read_json(row.try_get(0)?)?,
        started_at: time(row.try_get(1)?),
        beat_at: time(row.try_get(2)?),
        dead_at: row.try_get::<Option<i64>, _>(3)?.map(time),
        processing: row.try_get(4)?,
    })
}

fn stat(row: &SqliteRow) -> fault::Result<StatRecord> {
    Ok(StatRecord {
        minute: time(row.try_get(0)?),
        queue: row.try_get(1)?,
        kind: row.try_get(2)?,
        succeeded: row.try_get(3)?,
        failed: row.try_get(4)?,
        deleted: row.try_get(5)?,
        retried: row.try_get(6)?,
        run_millis: row.try_get(7)?,
    })
}

fn read_json<T: serde::de::DeserializeOwned>(text: &str) -> fault::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Fault::Unreadable(format!("the file holds unreadable JSON: {error}")))
}

/// All rows of a statement, each read by `read`.
macro_rules! all {
    ($storage:expr, $query:expr, $read:expr, $doing:literal) => {{
        let rows = async { Ok($query.fetch_all($storage.reads()?).await?) };
        rows.await
            .and_then(|rows| rows.iter().map($read).collect())
            .map_err(|fault: Fault| fault.during($doing))
    }};
}

#[async_trait]
impl Inspect for SqliteStorage {
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>> {
        let records = self.records(&[id.as_uuid()]).await;
        let mut records = records.map_err(|fault| fault.during("reading a job"))?;
        Ok(records.pop())
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<JobPage> {
        let page = self.page(filter).await;
        page.map_err(|fault| fault.during("listing jobs"))
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>> {
        let query = self.0.queries.inspect_attempts.query().bind(id.as_uuid());
        all!(self, query, |row| attempt(id, row), "reading attempts")
    }

    async fn events(&self, id: JobId) -> Result<Vec<EventRecord>> {
        let query = self.0.queries.inspect_events.query().bind(id.as_uuid());
        all!(self, query, |row| event(id, row), "reading events")
    }

    async fn counts(&self) -> Result<StateCounts> {
        let query = self.0.queries.inspect_counts.query().bind(clock::now());
        let read = |row: &SqliteRow| {
            let state: &str = row.try_get(0)?;
            let state = state
                .parse()
                .map_err(|error| Fault::Unreadable(format!("a number of jobs: {error}")))?;
            Ok((state, row.try_get(1)?))
        };
        let numbers: Vec<(State, u64)> = all!(self, query, read, "counting jobs")?;
        let mut counts = StateCounts::default();
        for (state, n) in numbers {
            *counts.of(state) = n;
        }
        Ok(counts)
    }

    async fn queues(&self) -> Result<Vec<QueueRecord>> {
        let query = self.0.queries.inspect_queues.query().bind(clock::now());
        let mut queues: Vec<QueueRecord> = all!(self, query, queue, "listing the queues")?;
        mark_paused(&mut queues, self.controls().await?.pauses);
        Ok(queues)
    }

    async fn controls(&self) -> Result<Controls> {
        let controls = self.list_controls().await;
        controls.map_err(|fault| fault.during("listing what is paused"))
    }

    async fn control_events(&self, limit: usize) -> Result<Vec<ControlEvent>> {
        let events = self.list_control_events(limit).await;
        events.map_err(|fault| fault.during("listing what workers were told"))
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>> {
        let since = clock::now() - DAY;
        let query = self.0.queries.inspect_workers.query().bind(since);
        all!(self, query, worker, "listing the workers")
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>> {
        const DOING: &str = "reading a batch";
        let ids = encode::ids([id.as_uuid()]).map_err(|fault| fault.during(DOING))?;
        let query = self.0.queries.batches.query().bind(ids);
        let found: Vec<BatchRecord> = all!(self, query, rules::record, "reading a batch")?;
        Ok(found.into_iter().next())
    }

    async fn limits(&self) -> Result<Vec<LimitRecord>> {
        let limits = async {
            let mut reader = self.reads()?.acquire().await?;
            let mut step = Step::new(&mut reader, &self.0.queries, clock::now());
            rules::list(&mut step).await
        };
        limits
            .await
            .map_err(|fault: Fault| fault.during("listing the limits"))
    }

    async fn awaited(&self, id: JobId) -> Result<Vec<Parent>> {
        let query = self.0.queries.inspect_awaited.query().bind(id.as_uuid());
        all!(self, query, rules::awaited, "reading what a job waits for")
    }

    async fn recurring(&self, id: &str) -> Result<Option<RecurringRecord>> {
        self.read_recurring(id).await
    }

    async fn recurring_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecurringRecord>> {
        self.read_recurring_page(after, limit).await
    }

    async fn stats(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<StatRecord>> {
        let query = self.0.queries.inspect_stats.query();
        let query = query.bind(micros(from)).bind(micros(to));
        all!(self, query, stat, "reading the counters")
    }
}
