//! What functions return.

use std::{fmt, io};

use jobs::prelude::*;
use jobs::{Error, State};

use super::stage;

#[job(retries = 0)]
async fn unit_result(fail: bool) -> Result<(), io::Error> {
    if fail {
        Err(io::Error::other("no disk"))
    } else {
        Ok(())
    }
}

#[job(retries = 0)]
async fn io_result(path: String) -> io::Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}

#[job(retries = 0)]
async fn anyhow_result(number: String) -> anyhow::Result<i64> {
    let number: i64 = number.parse()?;
    anyhow::ensure!(number > 0, "{number} is too small");
    Ok(number)
}

#[job(retries = 0)]
async fn text_error() -> std::result::Result<u8, &'static str> {
    Err("plain words")
}

#[job(retries = 0)]
async fn boxed(text: &str) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
    Ok(text.parse::<i64>()?)
}

#[job(retries = 0)]
fn blocking_result(text: &str) -> Result<i64, JobError> {
    Ok(text.parse::<i64>()?)
}

#[derive(Debug)]
enum MailError {
    Refused,
    Job(jobs::Directive),
}

impl fmt::Display for MailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Job(directive) => directive.fmt(f),
        }
    }
}

impl std::error::Error for MailError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused => None,
            Self::Job(directive) => directive.source(),
        }
    }
}

impl From<jobs::Directive> for MailError {
    fn from(directive: jobs::Directive) -> Self {
        Self::Job(directive)
    }
}

#[job(retry_if = |error| !matches!(error.downcast_ref(), Some(MailError::Refused)))]
async fn own_error(discard: bool) -> Result<(), MailError> {
    if discard {
        Err(JobError::discard("no such address"))?;
    }
    Err(MailError::Refused)
}

#[job(retries = 0)]
fn panicking() -> u8 {
    panic!("out of paper")
}

async fn failed<T: serde::de::DeserializeOwned + fmt::Debug + Send + 'static>(
    handle: JobHandle<T>,
) -> String {
    match handle.result().await {
        Err(Error::NoResult {
            state: State::Failed,
            reason,
            ..
        }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn errors_of_every_sort_fail_the_job() {
    let jobs = jobs![
        unit_result,
        io_result,
        anyhow_result,
        text_error,
        boxed,
        blocking_result
    ];
    let (client, worker) = stage(jobs).await;
    let client = &client;
    let missing = io_result
        .enqueue("/does/not/exist")
        .on(client)
        .await
        .unwrap();
    assert!(failed(missing).await.contains("No such file"));
    let handle = anyhow_result.enqueue("-1").on(client).await.unwrap();
    assert_eq!(failed(handle).await, "Failed, no retries: -1 is too small");
    let handle = anyhow_result.enqueue("x").on(client).await.unwrap();
    assert_eq!(
        failed(handle).await,
        "Failed, no retries: invalid digit found in string"
    );
    let handle = text_error.enqueue().on(client).await.unwrap();
    assert_eq!(failed(handle).await, "Failed, no retries: plain words");
    for handle in [
        boxed.enqueue("x").on(client).await.unwrap(),
        blocking_result.enqueue("x").on(client).await.unwrap(),
    ] {
        assert_eq!(
            failed(handle).await,
            "Failed, no retries: invalid digit found in string"
        );
    }
    let handle = unit_result.enqueue(true).on(client).await.unwrap();
    assert_eq!(failed(handle).await, "Failed, no retries: no disk");
    unit_result
        .enqueue(false)
        .on(client)
        .await
        .unwrap()
        .result()
        .await
        .unwrap();
    assert_eq!(
        blocking_result
            .enqueue("7")
            .on(client)
            .await
            .unwrap()
            .result()
            .await
            .unwrap(),
        7
    );
    worker.stop().await;
}

#[tokio::test]
async fn the_line_of_the_question_mark_is_kept() {
    let (client, worker) = stage(jobs![blocking_result, io_result]).await;
    let handle = blocking_result.enqueue("x").on(&client).await.unwrap();
    handle.wait().await.unwrap();
    let attempts = client.inspect().attempts(handle.id()).await.unwrap();
    let report = attempts[0].error.as_ref().unwrap();
    assert!(
        report
            .location
            .as_deref()
            .is_some_and(|location| location.contains("results.rs:")),
        "{report:?}"
    );
    assert_eq!(
        report.type_name.as_deref(),
        Some("core::num::error::ParseIntError")
    );
    // Nobody turned this one into a `JobError` in the handler, so that no line is known.
    let handle = io_result
        .enqueue("/does/not/exist")
        .on(&client)
        .await
        .unwrap();
    handle.wait().await.unwrap();
    let attempts = client.inspect().attempts(handle.id()).await.unwrap();
    assert_eq!(attempts[0].error.as_ref().unwrap().location, None);
    worker.stop().await;
}

#[tokio::test]
async fn an_error_says_how_to_go_on_and_retry_if_sees_it() {
    let (client, worker) = stage(jobs![own_error]).await;
    let handle = own_error.enqueue(true).on(&client).await.unwrap();
    assert_eq!(failed(handle).await, "Discarded: no such address");
    let handle = own_error.enqueue(false).on(&client).await.unwrap();
    assert_eq!(
        failed(handle).await,
        "Not retried, as its `retry_if` says: refused"
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_of_a_plain_function_is_an_attempt_with_its_place() {
    let (client, worker) = stage(jobs![panicking]).await;
    let handle = panicking.enqueue().on(&client).await.unwrap();
    assert_eq!(handle.wait().await.unwrap().state, State::Failed);
    let attempts = client.inspect().attempts(handle.id()).await.unwrap();
    let report = attempts[0].error.as_ref().unwrap();
    assert!(report.message.contains("out of paper"), "{report:?}");
    assert!(
        report
            .location
            .as_deref()
            .is_some_and(|location| location.contains("results.rs:")),
        "{report:?}"
    );
    worker.stop().await;
}
