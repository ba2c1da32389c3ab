//! Opening files, good and bad, and what is in them afterwards.

use jobs_core::job::State;
use jobs_core::storage::{Inspect, Storage};
use jobs_sqlite::SqliteStorage;

use crate::stage::{Folder, claim, flush, new_job, worker};

#[tokio::test]
async fn a_job_goes_all_the_way_and_is_there_after_reopening() {
    let folder = Folder::new();
    let job = new_job();
    {
        let storage = folder.open().await;
        let inserted = storage.insert(std::slice::from_ref(&job)).await.unwrap();
        assert!(!inserted[0].existing);
        let again = storage.insert(std::slice::from_ref(&job)).await.unwrap();
        assert!(again[0].existing);
        let worker = worker(&storage).await;
        let (id, claimed) = claim(&storage, worker, 10).await;
        assert_eq!(claimed.jobs.len(), 1);
        assert_eq!(claimed.jobs[0].args, job.args);
        let processing = storage.job(job.id).await.unwrap().unwrap();
        assert_eq!(processing.state, State::Processing);
        assert_eq!(processing.worker, Some(worker));
        let refused = storage.settle(&flush(worker, id, &claimed.jobs)).await;
        assert_eq!(refused.unwrap(), []);
    }
    let storage = folder.open().await;
    let record = storage.job(job.id).await.unwrap().unwrap();
    assert_eq!(record.state, State::Succeeded);
    assert_eq!(record.result.as_deref(), Some("7"));
    assert_eq!((record.attempt, record.run), (1, 1));
    let counts = storage.counts().await.unwrap();
    assert_eq!((counts.succeeded, counts.unfinished()), (1, 0));
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let folder = Folder::new();
    let url = format!("sqlite://{}/nowhere/jobs.db", folder.path().display());
    let error = SqliteStorage::connect(&url).await.unwrap_err().to_string();
    assert!(error.contains("there is no directory"), "{error}");
    assert!(error.contains("nowhere"), "{error}");
}
