//! What operators do.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs_core::job::{Due, JobId, State};
use jobs_core::storage::{Answer, Command, Verb, Wake};
use jobs_core::{Error, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::insert::LONGEST_WAIT;
use crate::lanes::Lane;
use crate::store::Store;

/// How many jobs one transaction touches.
const CHUNK: usize = 1_000;

/// How often jobs that somebody has locked are tried without waiting for them, with pauses that double.
const TRIES: u32 = 5;

/// The first of these pauses.
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// Many jobs are done without waiting for any. Most of those that somebody had locked are free a moment later: they are tried
/// again together, and only what is left in the end is waited for, one by one.
pub(crate) async fn command(store: &Store, command: &Command) -> Result<Vec<Answer>> {
    let mut answers: HashMap<JobId, Answer> = HashMap::new();
    let mut left = command.jobs.clone();
    let mut pause = FIRST_PAUSE;
    for tries in 0..TRIES {
        if left.len() < 2 {
            break;
        }
        if tries > 0 {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        for jobs in std::mem::take(&mut left).chunks(CHUNK) {
            left.extend(go_on(store, command, jobs, false, &mut answers).await?);
        }
    }
    for job in left {
        go_on(store, command, &[job], true, &mut answers).await?;
    }
    let answer = |job: &JobId| answers.get(job).copied().unwrap_or(Answer::Unknown);
    Ok(command.jobs.iter().map(answer).collect())
}

/// Does it to some of the jobs. What meets a conflict may be begun anew as long as nothing is done; then it would be answered that
/// the verb does not apply to those that are done. So it is tried once more here, and the error is not said to be a conflict.
async fn go_on(
    store: &Store,
    command: &Command,
    jobs: &[JobId],
    wait: bool,
    answers: &mut HashMap<JobId, Answer>,
) -> Result<Vec<JobId>> {
    let is_done = |answer: &&Answer| matches!(answer, Answer::Done { .. });
    let (done, all) = (answers.values().filter(is_done).count(), command.jobs.len());
    let mut left = obey(store, command, jobs, wait, answers).await;
    if left.as_ref().is_err_and(Error::is_conflict) && done > 0 {
        left = obey(store, command, jobs, wait, answers).await;
    }
    left.map_err(|error| match error {
        Error::Conflict { doing, source } if done > 0 => Error::Storage {
            doing: format!("{doing}, after {done} of {all} were done"),
            source,
        },
        error => error,
    })
}

async fn obey(
    store: &Store,
    command: &Command,
    jobs: &[JobId],
    wait: bool,
    answers: &mut HashMap<JobId, Answer>,
) -> Result<Vec<JobId>> {
    let (due_at, due_in) = due(command.verb);
    let statement = store
        .statement(&store.sql.command)
        .bind(command.verb.as_str())
        .bind(jobs.iter().map(|job| job.as_uuid()).collect::<Vec<_>>())
        .bind(&*command.actor)
        .bind(command.reason.as_deref())
        .bind(due_at)
        .bind(due_in)
        .bind(wait);
    let doing = format!("{} {} jobs", command.verb.as_str(), jobs.len());
    let rows = store.rows(&doing, statement).await?;
    let mut busy = Vec::new();
    let mut lanes: HashSet<Lane> = HashSet::new();
    for row in &rows {
        let lane = row
            .get::<Option<String>, _>("queue")
            .map(|queue| (queue, row.get("priority")));
        lanes.extend(lane);
        let Some(job) = row.get::<Option<Uuid>, _>("job").map(JobId::from) else {
            store.kick();
            continue;
        };
        if row.get::<&str, _>("answer") == "busy" {
            busy.push(job);
            continue;
        }
        let answer = answer(row)?;
        if let Answer::Done {
            from: State::Processing,
            to: State::Deleted,
        } = answer
        {
            store.wakes.tell_here(Wake::Cancelled(job));
        }
        answers.insert(job, answer);
    }
    store.lanes.seen(&lanes.iter().cloned().collect::<Vec<_>>());
    store.wakes.waiting(lanes);
    Ok(busy)
}

fn due(verb: Verb) -> (Option<DateTime<Utc>>, Option<f64>) {
    match verb {
        Verb::Reschedule(Due::At(at)) => (Some(at), None),
        Verb::Reschedule(Due::In(wait)) => (None, Some(wait.as_secs_f64().min(LONGEST_WAIT))),
        _ => (None, None),
    }
}

fn answer(row: &PgRow) -> Result<Answer> {
    let state = |column: &str| -> Result<State> {
        let text: &str = row.get(column);
        text.parse().map_err(|error| Error::Storage {
            doing: "read an answer".into(),
            source: Box::new(error),
        })
    };
    Ok(match row.get("answer") {
        "done" => Answer::Done {
            from: state("from_state")?,
            to: state("to_state")?,
        },
        "held" => Answer::KeyHeld(row.get::<Uuid, _>("holder").into()),
        "wrong" => Answer::WrongState(state("from_state")?),
        _ => Answer::Unknown,
    })
}
