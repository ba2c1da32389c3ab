//! Opening files, good and bad, and what is in them afterwards.

use jobs_core::Error;
use jobs_core::job::State;
use jobs_core::storage::{Inspect, Storage};
use jobs_sqlite::{SqliteStorage, Synchronous};

use crate::stage::{Folder, claim, flush, new_job, worker};

/// Why a file could not be opened.
async fn refusal(url: &str) -> String {
    let opened = SqliteStorage::connect(url).await;
    opened.expect_err("this must not open").to_string()
}

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
async fn both_forms_of_a_url_name_the_same_file() {
    let folder = Folder::new();
    let job = new_job();
    let long = format!("sqlite://{}", folder.file().display());
    let short = format!("sqlite:{}", folder.file().display());
    let storage = SqliteStorage::connect(&long).await.unwrap();
    storage.insert(std::slice::from_ref(&job)).await.unwrap();
    let storage = SqliteStorage::connect(&short).await.unwrap();
    assert!(storage.job(job.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let folder = Folder::new();
    let error = refusal(&format!(
        "sqlite://{}/nowhere/jobs.db",
        folder.path().display()
    ))
    .await;
    assert!(error.contains("there is no directory"), "{error}");
    assert!(error.contains("nowhere"), "{error}");
    let error = refusal(&format!("sqlite://{}", folder.path().display())).await;
    assert!(error.contains("is a directory"), "{error}");
}

#[tokio::test]
async fn a_file_may_be_required_to_exist() {
    let folder = Folder::new();
    let url = format!("sqlite://{}?mode=rw", folder.file().display());
    let error = refusal(&url).await;
    assert!(error.contains("there is no file"), "{error}");
    assert!(!folder.file().exists());
    drop(folder.open().await);
    SqliteStorage::connect(&url).await.expect("now it exists");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = Folder::new();
    let text = "a letter to somebody, longer than the header of a database. ".repeat(20);
    std::fs::write(folder.file(), &text).unwrap();
    let error = refusal(&format!("sqlite://{}", folder.file().display())).await;
    assert!(error.contains("file is not a database"), "{error}");
    assert!(error.contains("jobs.db"), "{error}");
    assert_eq!(std::fs::read_to_string(folder.file()).unwrap(), text);
}

#[tokio::test]
async fn a_file_that_may_only_be_read_is_refused() {
    let folder = Folder::new();
    drop(folder.open().await);
    let error = refusal(&format!("sqlite://{}?mode=ro", folder.file().display())).await;
    assert!(error.contains("read-only"), "{error}");
}

#[tokio::test]
async fn what_names_no_file_is_refused() {
    for url in [
        "sqlite::memory:",
        "sqlite://:memory:",
        "sqlite://jobs.db?mode=memory",
        "sqlite:",
        "sqlite://",
    ] {
        let error = refusal(url).await;
        assert!(error.contains("names no file"), "{url}: {error}");
        assert!(error.contains("memory:"), "{url}: {error}");
    }
    let error = SqliteStorage::builder().connect().await.unwrap_err();
    assert!(matches!(error, Error::Setup(_)), "{error:?}");
}

#[tokio::test]
async fn a_table_prefix_is_checked() {
    for prefix in ["", "Jobs_", "1_", "a b", "x'; drop table y; --", "sqlite_"] {
        let folder = Folder::new();
        let builder = SqliteStorage::builder().path(folder.file());
        let error = builder.table_prefix(prefix).connect().await.unwrap_err();
        assert!(error.to_string().contains("table prefix"), "{error}");
    }
}

#[tokio::test]
async fn two_prefixes_share_a_file_and_nothing_else() {
    let folder = Folder::new();
    let open = |prefix: &str| {
        let builder = SqliteStorage::builder().path(folder.file());
        builder.table_prefix(prefix).connect()
    };
    let (one, other) = (open("one_").await.unwrap(), open("other_").await.unwrap());
    let job = new_job();
    one.insert(std::slice::from_ref(&job)).await.unwrap();
    assert!(other.job(job.id).await.unwrap().is_none());
    let worker = worker(&one).await;
    let (id, claimed) = claim(&one, worker, 1).await;
    let settled = one.settle(&flush(worker, id, &claimed.jobs)).await;
    assert_eq!(settled.unwrap(), []);
    assert_eq!(one.counts().await.unwrap().succeeded, 1);
    assert_eq!(other.counts().await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_version_that_is_missing_older_or_newer_is_named() {
    let folder = Folder::new();
    let checked = || {
        let builder = SqliteStorage::builder().path(folder.file());
        builder.auto_migrate(false).connect()
    };
    let error = checked().await.unwrap_err();
    assert!(matches!(error, Error::Schema(_)), "{error:?}");
    assert!(error.to_string().contains("storage.migrate()"), "{error}");

    let storage = folder.open().await;
    storage.check_schema().await.unwrap();
    checked().await.expect("the tables are there now");
    let url = format!("sqlite://{}", folder.file().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    for (version, words) in [(0, "run the migrations"), (999, "upgrade this one too")] {
        let set = sqlx::query("update jobs_meta set value = ? where key = 'version'");
        set.bind(version).execute(&pool).await.unwrap();
        for error in [
            checked().await.unwrap_err(),
            storage.check_schema().await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::Schema(_)), "{error:?}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
    let error = storage.migrate().await.unwrap_err().to_string();
    assert!(error.contains("version 999"), "{error}");
}

#[tokio::test]
async fn many_may_open_a_fresh_file_at_once() {
    let folder = Folder::new();
    let openers = (0..8).map(|_| {
        let file = folder.file();
        tokio::spawn(async move { SqliteStorage::builder().path(file).connect().await })
    });
    for opener in openers.collect::<Vec<_>>() {
        let storage = opener.await.unwrap().expect("each of them opens it");
        storage.check_schema().await.unwrap();
    }
}

#[tokio::test]
async fn commits_wait_for_the_disk_unless_told_otherwise() {
    assert_eq!(Synchronous::default(), Synchronous::Full);
    let folder = Folder::new();
    let builder = SqliteStorage::builder().path(folder.file());
    let quick = builder.synchronous(Synchronous::Normal).connect().await;
    let job = new_job();
    let inserted = quick.unwrap().insert(std::slice::from_ref(&job)).await;
    assert!(!inserted.unwrap()[0].existing);
    assert!(folder.open().await.job(job.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_that_is_not_there_and_not_to_be_made_is_no_passing_trouble() {
    let folder = Folder::new();
    let url = format!("sqlite://{}?mode=ro", folder.file().display());
    let error = SqliteStorage::connect(&url).await.unwrap_err();
    assert!(matches!(error, Error::Setup(_)), "{error:?}");
    assert!(error.to_string().contains("there is no file"), "{error}");
}
