//! A job's way, and what is left behind it.

use jobs_core::job::State;
use jobs_core::storage::{Inspect, Storage};
use sqlx::Row;

use super::{claim, flush, new_job, test, worker};

#[test]
fn a_job_is_stored_claimed_and_settled() {
    test(|home| async move {
        let storage = home.storage().await;
        let me = worker(&storage).await;
        let job = new_job();
        let stored = storage.insert(std::slice::from_ref(&job)).await.unwrap();
        assert!(!stored[0].existing);
        let (id, claimed) = claim(&storage, me, 10).await;
        assert_eq!(claimed.jobs.len(), 1);
        assert_eq!(claimed.jobs[0].args, job.args);
        let refused = storage
            .settle(&flush(me, id, &claimed.jobs, true))
            .await
            .unwrap();
        assert_eq!(refused, []);
        let record = storage.job(job.id).await.unwrap().unwrap();
        assert_eq!(record.state, State::Succeeded);
        assert_eq!(record.result.as_deref(), Some("[1]"));
        let mut connection = home.connection().await;
        let left =
            "select (select count(*) from jobs.ticket) + (select count(*) from jobs.claim) as n";
        let left = sqlx::query(home.sql(left))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(left.get::<i64, _>("n"), 0);
    });
}

#[test]
fn a_repeated_insert_stores_nothing_twice() {
    test(|home| async move {
        let storage = home.storage().await;
        let jobs: Vec<_> = (0..3).map(|_| new_job()).collect();
        storage.insert(&jobs[..2]).await.unwrap();
        let again = storage.insert(&jobs).await.unwrap();
        let existing: Vec<_> = again.iter().map(|it| it.existing).collect();
        assert_eq!(existing, [true, true, false]);
        let me = worker(&storage).await;
        assert_eq!(claim(&storage, me, 10).await.1.jobs.len(), 3);
    });
}
