//! What people want to know.

use chrono::{DateTime, Utc};
use jobs_core::job::{
    AttemptOutcome, AttemptRecord, Condition, EventRecord, JobId, JobRecord, Parent, ParentId,
    Priority, Rules, State,
};
use jobs_core::storage::{JobFilter, JobPage, QueueRecord, StatRecord, StateCounts, WorkerRecord};
use jobs_core::{Error, Result};
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::control::pause;
use crate::store::Store;

pub(crate) async fn job(store: &Store, id: JobId) -> Result<Option<JobRecord>> {
    let statement = store.statement(&store.sql.job).bind(id.as_uuid());
    let rows = store.rows("read a job", statement).await?;
    rows.first().map(record).transpose()
}

pub(crate) async fn jobs(store: &Store, filter: &JobFilter) -> Result<JobPage> {
    let before = filter.before.map_or(Uuid::max(), |id| id.as_uuid());
    // One more, to know whether there is a next page.
    let size = filter.page_size();
    let (kind, queue, tag) = (&filter.kind, &filter.queue, &filter.tag);
    let sql = &store.sql;
    let statement = match filter.state {
        // Whoever waits for others is Awaiting.
        Some(state) if filter.waits_for.is_some() && state != State::Awaiting => {
            return Ok(JobPage::default());
        }
        _ if filter.waits_for.is_some() => store.statement(&sql.job_page_children),
        Some(State::Scheduled) => store.statement(&sql.job_page_ticket).bind(true),
        Some(State::Enqueued) => store.statement(&sql.job_page_ticket).bind(false),
        Some(State::Processing) => store.statement(&sql.job_page_claim),
        Some(State::Failed) => store.statement(&sql.job_page_failed),
        Some(State::Awaiting) => store.statement(&sql.job_page_awaiting),
        state => {
            let final_state = match state {
                Some(State::Succeeded) => Some(2_i16),
                Some(State::Deleted) => Some(4),
                _ => None,
            };
            let page = match filter.batch {
                Some(_) => &sql.job_page_batch,
                None => &sql.job_page,
            };
            store.statement(page).bind(final_state)
        }
    };
    let statement = statement.bind(kind.as_deref()).bind(queue.as_deref());
    let statement = statement
        .bind(tag.as_deref())
        .bind(before)
        .bind(size as i64 + 1)
        .bind(filter.batch.map(|batch| batch.as_uuid()));
    let statement = match filter.waits_for {
        Some(ParentId::Job(job)) => statement.bind(job.as_uuid()),
        Some(ParentId::Batch(batch)) => statement.bind(batch.as_uuid()),
        None => statement,
    };
    let rows = store.rows("list jobs", statement).await?;
    let jobs: Vec<_> = rows.iter().take(size).map(record).collect::<Result<_>>()?;
    let next = jobs.last().map(|job| job.id).filter(|_| rows.len() > size);
    Ok(JobPage { jobs, next })
}

fn record(row: &PgRow) -> Result<JobRecord> {
    let later: Option<bool> = row.get("later");
    let state = match (row.get::<i16, _>("state"), later) {
        (0, Some(true)) => State::Scheduled,
        (0, Some(false)) => State::Enqueued,
        (0, None) => State::Processing,
        (1, _) => State::Awaiting,
        (2, _) => State::Succeeded,
        (3, _) => State::Failed,
        _ => State::Deleted,
    };
    let id: JobId = row.get::<Uuid, _>("id").into();
    let mut record = JobRecord::new(id, row.get::<String, _>("kind"), state);
    record.args = row.get_unchecked("args");
    record.queue = row.get("queue");
    record.priority = Priority::new(row.get("priority"));
    record.reason = row.get("reason");
    record.attempt = row.get::<i32, _>("attempt") as u32;
    record.lost = row.get::<i32, _>("lost") as u32;
    record.run = row.get("run");
    record.options = readable(row, "options", &mut record.reason).unwrap_or_default();
    let rules: Option<Rules> = readable(row, "rules", &mut record.reason);
    record.rules = rules.filter(|rules| !rules.is_empty()).map(Box::new);
    record.limited_by = row.get("limited_by");
    record.created_at = row.get("created_at");
    record.due_at = row.get("run_at");
    record.started_at = row.get("started_at");
    record.finished_at = row.get("finished_at");
    record.worker = row.get::<Option<Uuid>, _>("worker").map(Into::into);
    record.result = row.get_unchecked("result");
    Ok(record)
}

/// What was written by a later version, or by hand, must not hide the job it belongs to.
fn readable<T: DeserializeOwned>(
    row: &PgRow,
    column: &str,
    reason: &mut Option<String>,
) -> Option<T> {
    json(row, column).unwrap_or_else(|error| {
        let note = format!("its {column} cannot be read: {error}");
        *reason = Some(match reason.take() {
            Some(reason) => format!("{reason} ({note})"),
            None => note,
        });
        None
    })
}

fn json<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<Option<T>> {
    let text: Option<&str> = row.get_unchecked(column);
    let parsed = text.map(serde_json::from_str).transpose();
    parsed.map_err(|error| Error::Storage {
        doing: format!("read the column {column}"),
        source: Box::new(error),
    })
}

pub(crate) async fn attempts(store: &Store, id: JobId) -> Result<Vec<AttemptRecord>> {
    let statement = store.statement(&store.sql.attempts).bind(id.as_uuid());
    let rows = store.rows("read the attempts of a job", statement).await?;
    rows.iter().map(|row| attempt(id, row)).collect()
}

fn attempt(id: JobId, row: &PgRow) -> Result<AttemptRecord> {
    let outcome = AttemptOutcome::parse(row.get("outcome")).unwrap_or(AttemptOutcome::Failed);
    let mut record = AttemptRecord::new(id, row.get("run"), outcome, row.get("finished_at"));
    record.number = row.get::<i32, _>("number") as u32;
    record.worker = row.get::<Option<Uuid>, _>("worker").map(Into::into);
    record.started_at = row.get("started_at");
    record.reason = row.get("reason");
    record.error = json(row, "error")?;
    Ok(record)
}

pub(crate) async fn events(store: &Store, id: JobId) -> Result<Vec<EventRecord>> {
    let statement = store.statement(&store.sql.events).bind(id.as_uuid());
    let rows = store.rows("read the events of a job", statement).await?;
    rows.iter().map(|row| event(id, row)).collect()
}

fn event(id: JobId, row: &PgRow) -> Result<EventRecord> {
    let state = |column: &str| -> Result<State> {
        let text: &str = row.get(column);
        text.parse().map_err(|error| Error::Storage {
            doing: "read an event".into(),
            source: Box::new(error),
        })
    };
    let moved = (state("from_state")?, state("to_state")?);
    let mut record = EventRecord::new(id, row.get("at"), row.get("verb"), row.get("actor"), moved);
    record.reason = row.get("reason");
    Ok(record)
}

pub(crate) async fn awaited(store: &Store, id: JobId) -> Result<Vec<Parent>> {
    let statement = store.statement(&store.sql.awaited).bind(id.as_uuid());
    let rows = store.rows("read what a job waits for", statement).await?;
    let parent = |row: &PgRow| {
        let id: Uuid = row.get("parent");
        let of = match row.get("batch") {
            true => ParentId::Batch(id.into()),
            false => ParentId::Job(id.into()),
        };
        let on = match row.get::<i16, _>("condition") {
            0 => Condition::Success,
            1 => Condition::Failure,
            2 => Condition::Deletion,
            _ => Condition::Any,
        };
        Parent { of, on }
    };
    Ok(rows.iter().map(parent).collect())
}

pub(crate) async fn counts(store: &Store) -> Result<StateCounts> {
    let row = store
        .row("count jobs", store.statement(&store.sql.counts))
        .await?;
    let count = |column: &str| row.get::<i64, _>(column).max(0) as u64;
    Ok(StateCounts {
        scheduled: count("scheduled"),
        enqueued: count("enqueued"),
        processing: count("processing"),
        awaiting: count("awaiting"),
        succeeded: count("succeeded"),
        failed: count("failed"),
        deleted: count("deleted"),
    })
}

pub(crate) async fn queues(store: &Store) -> Result<Vec<QueueRecord>> {
    let rows = store
        .rows("list queues", store.statement(&store.sql.queues))
        .await?;
    Ok(rows.iter().map(queue).collect())
}

fn queue(row: &PgRow) -> QueueRecord {
    let paused: Option<DateTime<Utc>> = row.get("since");
    QueueRecord {
        name: row.get("name"),
        pause: paused.map(|since| pause(row, since)),
        enqueued: row.get::<i64, _>("enqueued") as u64,
        scheduled: row.get::<i64, _>("scheduled") as u64,
        processing: row.get::<i64, _>("processing") as u64,
        oldest_due: row.get("oldest_due"),
    }
}

pub(crate) async fn workers(store: &Store) -> Result<Vec<WorkerRecord>> {
    let rows = store
        .rows("list workers", store.statement(&store.sql.workers))
        .await?;
    rows.iter().map(worker).collect()
}

fn worker(row: &PgRow) -> Result<WorkerRecord> {
    let text: &str = row.get_unchecked("info");
    let info = serde_json::from_str(text).map_err(|error| Error::Storage {
        doing: "read what a worker says of itself".into(),
        source: Box::new(error),
    })?;
    Ok(WorkerRecord {
        info,
        started_at: row.get("started_at"),
        beat_at: row.get("beat_at"),
        dead_at: row.get("dead_at"),
        processing: row.get::<i64, _>("processing") as u64,
    })
}

pub(crate) async fn stats(
    store: &Store,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<StatRecord>> {
    let statement = store.statement(&store.sql.stats).bind(from).bind(to);
    let rows = store.rows("read what happened", statement).await?;
    Ok(rows.iter().map(stat).collect())
}

fn stat(row: &PgRow) -> StatRecord {
    let count = |column: &str| row.get::<i64, _>(column).max(0) as u64;
    StatRecord {
        minute: row.get("minute"),
        queue: row.get("queue"),
        kind: row.get("kind"),
        succeeded: count("succeeded"),
        failed: count("failed"),
        deleted: count("deleted"),
        retried: count("retried"),
        run_millis: count("run_millis"),
    }
}
