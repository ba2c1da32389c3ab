//! Verbs for many jobs, beside somebody who has locked one of them.

use std::time::Duration;

use jobs_core::job::{JobId, State};
use jobs_core::storage::{Answer, Command, Inspect, Storage, StorageHandle, Verb};
use sqlx::{PgConnection, Row};

use super::{Home, new_job, test};
use crate::PgStorage;

async fn two(storage: &PgStorage) -> [JobId; 2] {
    let jobs = [new_job(), new_job()];
    storage.insert(&jobs).await.unwrap();
    [jobs[0].id, jobs[1].id]
}

fn delete(jobs: [JobId; 2]) -> Command {
    Command {
        verb: Verb::Delete,
        jobs: jobs.to_vec(),
        actor: "ada".into(),
        reason: None,
    }
}

/// A transaction that has locked a job.
async fn lock(home: &Home, job: JobId) -> PgConnection {
    let mut session = home.connection().await;
    let lock = format!("begin; select from jobs.job where id = '{job}' for update");
    home.run(&mut session, &lock).await;
    session
}

/// Waits until a statement waits for the session, and answers which one.
pub(super) async fn waits_for(session: i32, looking: &mut PgConnection) -> String {
    let look = "select pid || ' ' || query_start from pg_stat_activity where $1 = any (pg_blocking_pids(pid))";
    loop {
        let row = sqlx::query(look).bind(session);
        if let Some(row) = row.fetch_optional(&mut *looking).await.unwrap() {
            return row.get(0);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) async fn pid(session: &mut PgConnection) -> i32 {
    let pid = sqlx::query("select pg_backend_pid()").fetch_one(session);
    pid.await.unwrap().get(0)
}

const DONE: Answer = Answer::Done {
    from: State::Enqueued,
    to: State::Deleted,
};

/// The one that is locked is not to be had in time at first. The other is done by then, and must not be answered as one that
/// the verb does not apply to.
#[test]
fn what_is_done_is_not_begun_anew() {
    test(|home| async move {
        let storage = home.storage().await;
        let jobs = two(&storage).await;
        let mut locking = lock(&home, jobs[1]).await;
        let (session, mut looking) = (pid(&mut locking).await, home.connection().await);
        let handle = StorageHandle::new(storage.clone());
        let command = tokio::spawn(async move { handle.command(&delete(jobs)).await });
        let first = waits_for(session, &mut looking).await;
        while waits_for(session, &mut looking).await == first {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        home.run(&mut locking, "commit").await;
        assert_eq!(command.await.unwrap().unwrap(), [DONE; 2]);
        for job in jobs {
            assert_eq!(storage.events(job).await.unwrap().len(), 1);
        }
    });
}

/// Some are done: whoever reads the error must know, and not take it for one of which nothing came.
#[test]
fn who_stays_locked_makes_no_conflict_of_what_is_done() {
    test(|home| async move {
        let storage = home.storage().await;
        let jobs = two(&storage).await;
        let mut locking = lock(&home, jobs[1]).await;
        let handle = StorageHandle::new(storage.clone());
        let error = handle.command(&delete(jobs)).await.unwrap_err();
        assert!(!error.is_conflict(), "{error:?}");
        assert!(error.to_string().contains("1 of 2"), "{error}");
        home.run(&mut locking, "commit").await;
        let answers = handle.command(&delete(jobs)).await.unwrap();
        assert_eq!(answers, [Answer::WrongState(State::Deleted), DONE]);
        // Of one alone nothing is done: that is a conflict.
        let one = new_job();
        storage.insert(std::slice::from_ref(&one)).await.unwrap();
        let _locking = lock(&home, one.id).await;
        let command = Command {
            jobs: vec![one.id],
            ..delete(jobs)
        };
        let error = storage.command(&command).await.unwrap_err();
        assert!(error.is_conflict(), "{error:?}");
    });
}
