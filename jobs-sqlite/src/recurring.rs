//! What recurs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use jobs_core::Result;
use jobs_core::job::{JobId, NewJob, RecurringRecord};
use jobs_core::lifecycle::{RecurringChange, RecurringEvent};
use jobs_core::storage::{
    Changed, Judgement, RecurringDue, RecurringRequest, Scope, judge, read_recurring, stand_ins,
};

use crate::SqliteStorage;
use crate::clock;
use crate::encode::{self, Hex};
use crate::fault::{self, Fault};
use crate::insert::{NewRows, store_ruled};
use crate::queries::Queries;
use crate::rules;
use crate::wake::Hints;
use crate::writer::Durability;

impl SqliteStorage {
    pub(crate) async fn look_up_due(&self, request: &RecurringRequest) -> Result<RecurringDue> {
        let read = self.read_due(request).await;
        read.map_err(|fault| fault.during("looking for what recurs"))
    }

    async fn read_due(&self, request: &RecurringRequest) -> fault::Result<RecurringDue> {
        let queries = &self.0.queries;
        let now = clock::now();
        let kinds = encode::rows(request.kinds.iter())?;
        let after = request.after.as_ref();
        let (at, id) = after.map_or((i64::MIN, ""), |(at, id)| (encode::micros(*at), id));
        let due = queries.recurring_due.query().bind(now).bind(at);
        let due = due.bind(id.to_owned()).bind(kinds.clone());
        let due = due.bind(i64::try_from(request.limit).unwrap_or(i64::MAX));
        let rows = due.fetch_all(self.reads()?).await?;
        let next = queries.recurring_next.query().bind(now).bind(kinds);
        let next = next.fetch_optional(self.reads()?).await?;
        Ok(RecurringDue {
            now: encode::time(now),
            records: rows.iter().filter_map(record).collect(),
            next: next.map(|row| encode::time(row.get(0))),
        })
    }

    pub(crate) async fn change_all(&self, changes: &[RecurringChange]) -> Result<Vec<Changed>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let changes: Arc<[RecurringChange]> = changes.into();
        let wakes = self.0.wakes.clone();
        let answer = self.0.writer.run(
            Durability::Full,
            move |tx, queries| {
                let changes = Arc::clone(&changes);
                Box::pin(async move { change(tx, queries, &changes).await })
            },
            move |(_, hints): &(Vec<Changed>, Hints)| hints.send(&wakes),
        );
        let answer = answer.await;
        answer
            .map(|(answers, _)| answers)
            .map_err(|fault| fault.during("changing what recurs"))
    }

    pub(crate) async fn read_recurring(&self, id: &str) -> Result<Option<RecurringRecord>> {
        let query = self.0.queries.recurring.query().bind(id.to_owned());
        let row = async { Ok(query.fetch_optional(self.reads()?).await?) };
        let row = row
            .await
            .map_err(|fault: Fault| fault.during("reading what recurs"))?;
        Ok(row.and_then(|row| read_recurring(id, row.get(0))))
    }

    pub(crate) async fn read_recurring_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecurringRecord>> {
        let query = self.0.queries.recurring_page.query();
        let query = query.bind(after.unwrap_or_default().to_owned());
        let query = query.bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = async { Ok(query.fetch_all(self.reads()?).await?) };
        let rows = rows
            .await
            .map_err(|fault: Fault| fault.during("listing what recurs"))?;
        Ok(rows.iter().filter_map(record).collect())
    }
}

fn record(row: &sqlx::sqlite::SqliteRow) -> Option<RecurringRecord> {
    read_recurring(row.get(0), row.get(1))
}

/// There is one writer: what is compared here cannot change before it is set.
async fn change(
    tx: &mut SqliteConnection,
    queries: &Queries,
    changes: &[RecurringChange],
) -> fault::Result<(Vec<Changed>, Hints)> {
    let judged = judge_all(tx, queries, changes).await?;
    let jobs: Vec<NewJob> = judged
        .iter()
        .flat_map(|judgement| judgement.jobs)
        .cloned()
        .collect();
    let (others, hints) = store(tx, queries, &jobs).await?;
    let (mut put, mut gone) = (Vec::new(), Vec::new());
    for (change, judgement) in changes.iter().zip(&judged) {
        let Some(record) = judgement.write else {
            continue;
        };
        let rewritten = judgement.rewrite(change, &others);
        match rewritten.as_ref().or(record) {
            Some(record) => put.push(row(&change.id, record)?),
            None => gone.push(&*change.id),
        }
        if let Some(event) = &change.event {
            note(tx, queries, &change.id, event).await?;
        }
    }
    if !put.is_empty() {
        let put = queries.recurring_put.query().bind(encode::rows(put)?);
        put.execute(&mut *tx).await?;
    }
    if !gone.is_empty() {
        let remove = queries.recurring_remove.query().bind(encode::rows(gone)?);
        remove.execute(&mut *tx).await?;
    }
    let answers = judged.iter().map(|judgement| judgement.answer);
    Ok((answers.collect(), hints))
}

/// Writes down what an operator did.
async fn note(
    tx: &mut SqliteConnection,
    queries: &Queries,
    id: &str,
    event: &RecurringEvent,
) -> fault::Result<()> {
    let query = queries.control_event.query().bind(clock::now());
    let query = query.bind(event.verb.as_str()).bind(Scope::RECURRING);
    let query = query.bind(id.to_owned()).bind(None::<String>);
    let query = query.bind(event.until.map(encode::micros));
    let query = query.bind(event.by.actor.clone());
    query
        .bind(event.by.reason.clone())
        .execute(&mut *tx)
        .await?;
    Ok(())
}

async fn judge_all<'c>(
    tx: &mut SqliteConnection,
    queries: &Queries,
    changes: &'c [RecurringChange],
) -> fault::Result<Vec<Judgement<'c>>> {
    let ids = encode::rows(changes.iter().map(|change| &*change.id))?;
    let rows = queries.recurring_versions.query().bind(ids);
    let rows = rows.fetch_all(&mut *tx).await?;
    let versions: HashMap<String, Uuid> = rows
        .iter()
        .map(|row| (row.get(0), row.get::<Uuid, _>(1)))
        .collect();
    let holds = changes.iter().filter_map(|change| change.hold.as_ref());
    let jobs: Vec<Uuid> = holds.map(|hold| hold.job.as_uuid()).collect();
    let mut unfinished = HashSet::new();
    if !jobs.is_empty() {
        let query = queries.recurring_unfinished.query();
        let rows = query.bind(encode::ids(jobs)?).fetch_all(tx).await?;
        unfinished.extend(rows.iter().map(|row| row.get::<Uuid, _>(0)));
    }
    let judge = |change: &'c RecurringChange| {
        let found = versions.get(&change.id).copied();
        judge(change, found, |job| unfinished.contains(&job.as_uuid()))
    };
    Ok(changes.iter().map(judge).collect())
}

/// Answers for which jobs others stand, too.
async fn store(
    tx: &mut SqliteConnection,
    queries: &Queries,
    jobs: &[NewJob],
) -> fault::Result<(HashMap<JobId, JobId>, Hints)> {
    if jobs.is_empty() {
        return Ok(Default::default());
    }
    if !rules::needs_room(jobs) {
        let mut hints = Hints::default();
        jobs.iter().for_each(|job| hints.jobs(&job.queue));
        // None: queues have limits.
        if NewRows::new(jobs)?.store(queries, tx).await?.is_some() {
            return Ok((HashMap::new(), hints));
        }
    }
    let (told, hints) = store_ruled(tx, queries, jobs).await?;
    let answers = told.map_err(Fault::Told)?;
    Ok((stand_ins(jobs, &answers), hints))
}

/// [id, version, kind, look_at, record]
type Cells = (String, Hex, String, Option<i64>, String);

fn row(id: &str, record: &RecurringRecord) -> fault::Result<Cells> {
    let text = serde_json::to_string(record);
    Ok((
        id.into(),
        Hex(record.version),
        record.spec.kind.clone(),
        record.look_at().map(encode::micros),
        text.map_err(|error| Fault::Refused(error.to_string()))?,
    ))
}
