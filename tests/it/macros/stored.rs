//! What is stored of a job, and what older versions stored.

use jobs::prelude::*;
use serde::Serialize;

use super::stage;

fn five() -> u8 {
    5
}

#[job(name = "stored.mail")]
async fn mail(
    #[job(alias = "recipient", alias = "to_address")] to: String,
    #[job(default)] copies: u8,
    #[job(default = five)] pages: u8,
    #[job(default, alias = "weight")] grams: u32,
    note: Option<String>,
) -> (String, u8, u8, u32, Option<String>) {
    (to, copies, pages, grams, note)
}

/// As an older version of the program enqueued it.
#[derive(Serialize)]
struct OldMail {
    recipient: &'static str,
    weight: u32,
    no_longer_there: bool,
}

impl Job for OldMail {
    const KIND: &'static str = "stored.mail";
    type Output = (String, u8, u8, u32, Option<String>);
}

#[tokio::test]
async fn arguments_are_stored_by_name() {
    let (client, worker) = stage(jobs![mail]).await;
    let handle = mail.enqueue("a", 1, 2, 3, None).on(&client).await.unwrap();
    let stored = handle.record().await.unwrap().args;
    assert_eq!(
        stored,
        r#"{"to":"a","copies":1,"pages":2,"grams":3,"note":null}"#
    );
    worker.stop().await;
}

#[tokio::test]
async fn parameters_may_be_added_renamed_and_removed() {
    let (client, worker) = stage(jobs![mail]).await;
    let old = OldMail {
        recipient: "a",
        weight: 7,
        no_longer_there: true,
    };
    let handle = client.enqueue(old).await.unwrap();
    assert_eq!(
        handle.result().await.unwrap(),
        ("a".to_owned(), 0, 5, 7, None)
    );
    worker.stop().await;
}

/// As a version enqueues it that disagrees about a type.
#[derive(Serialize)]
struct WrongMail {
    to: u8,
}

impl Job for WrongMail {
    const KIND: &'static str = "stored.mail";
    type Output = ();
}

#[tokio::test]
async fn arguments_that_do_not_decode_are_not_tried_again() {
    let (client, worker) = stage(jobs![mail]).await;
    let handle = client.enqueue(WrongMail { to: 1 }).await.unwrap();
    let record = handle.wait().await.unwrap();
    assert_eq!(
        record.reason.as_deref(),
        Some(
            "its arguments do not decode: kind `stored.mail`, field `to`: invalid type: integer `1`, expected a string, in `1`"
        )
    );
    assert_eq!(record.state, jobs::State::Failed);
    worker.stop().await;
}
