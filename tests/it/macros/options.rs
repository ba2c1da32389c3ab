//! What stands in `#[job(..)]` and where it ends up.

use std::time::Duration;

use jobs::prelude::*;
use jobs::{JobDefaults, JobEntry};

const URGENT: Priority = Priority::new(-15);

fn squares(retry: u32) -> Duration {
    Duration::from_secs(u64::from(retry * retry))
}

/// Sends a letter.
///
/// Slowly.
#[job(
    name = "Post.Letter",
    aliases("letter", "post"),
    queue = "mail.slow",
    priority = "high",
    retries = 3,
    backoff = exponential(base = "1s", factor = 2, max = "1m", jitter = 0.5),
    timeout = "1m 30s",
    tags = ["paper", "slow"],
    retry_if = |_| false,
)]
async fn letter(to: String) {
    drop(to);
}

#[job]
async fn bare() {}

fn entry<F: jobs::JobFn>(job: F) -> &'static JobEntry {
    job.entry()
}

#[test]
fn everything_is_in_the_entry() {
    let JobEntry {
        kind,
        aliases,
        defaults,
        retry_if,
        ..
    } = entry(letter);
    assert_eq!(
        (*kind, *aliases),
        ("Post.Letter", ["letter", "post"].as_slice())
    );
    let JobDefaults {
        queue,
        priority,
        retries,
        backoff,
        timeout,
        tags,
        description,
        ..
    } = defaults;
    assert_eq!(
        (*queue, *priority, *retries),
        (Some("mail.slow"), Some(Priority::HIGH), Some(3))
    );
    assert_eq!(*timeout, Some(Duration::from_secs(90)));
    assert_eq!(
        (*tags, *description),
        (["paper", "slow"].as_slice(), Some("Sends a letter."))
    );
    let waits = [1, 2, 9].map(|n| backoff.as_ref().unwrap().delay(n, 0.0).as_secs());
    assert_eq!(waits, [1, 2, 60]);
    assert_eq!(backoff.as_ref().unwrap().delay(9, 1.0).as_secs(), 30);
    assert!(retry_if.is_some_and(|worth_it| !worth_it(&JobError::from("x"))));
    assert_eq!(Letter::DEFAULTS.queue, *queue);
}

#[test]
fn nothing_said_is_nothing_declared() {
    let defaults = &entry(bare).defaults;
    let JobDefaults {
        queue,
        priority,
        retries,
        backoff,
        timeout,
        tags,
        description,
        expires_in,
        unique,
        limits,
    } = defaults;
    assert!(expires_in.is_none() && unique.is_none() && limits.is_empty());
    assert!(queue.is_none() && priority.is_none() && retries.is_none() && backoff.is_none());
    assert!(timeout.is_none() && tags.is_empty() && description.is_none());
    assert_eq!(entry(bare).kind, "bare");
}

#[job(priority = -3, backoff = "10s", description = "In other words")]
async fn negative() {}

#[job(priority = URGENT, backoff = ["1s", "1m"])]
async fn constant() {}

#[job(priority = 7, backoff = linear(step = "2s"))]
async fn positive() {}

#[job(priority = "lowest", backoff = squares)]
async fn function() {}

#[job(priority = Priority::LOW, backoff = |retry| Duration::from_millis(retry.into()))]
async fn closure() {}

#[job(backoff = "polynomial")]
async fn polynomial() {}

#[test]
fn priorities_and_backoffs_have_many_forms() {
    let priority = |entry: &JobEntry| entry.defaults.priority.unwrap().get();
    let priorities = jobs![negative, constant, positive, function, closure].map_all(priority);
    assert_eq!(priorities, [-3, -15, 7, 20, 10]);
    let waits = |entry: &JobEntry| {
        [1, 2, 3].map(|n| {
            entry
                .defaults
                .backoff
                .as_ref()
                .unwrap()
                .delay(n, 0.0)
                .as_millis()
        })
    };
    let waits = jobs![negative, constant, positive, function, closure, polynomial].map_all(waits);
    assert_eq!(
        waits,
        [
            [10_000; 3],
            [1_000, 60_000, 60_000],
            [2_000, 4_000, 6_000],
            [1_000, 4_000, 9_000],
            [1, 2, 3],
            [16_000, 31_000, 96_000],
        ]
    );
    assert_eq!(entry(negative).defaults.description, Some("In other words"));
}

trait MapAll {
    fn map_all<T>(self, of: impl Fn(&JobEntry) -> T) -> Vec<T>;
}

impl MapAll for Vec<&'static JobEntry> {
    fn map_all<T>(self, of: impl Fn(&JobEntry) -> T) -> Vec<T> {
        self.into_iter().map(of).collect()
    }
}

#[tokio::test]
async fn what_is_declared_holds_for_what_is_enqueued() {
    let client = Client::new(jobs::connect("memory:").await.unwrap());
    let handle = letter.enqueue("a").on(&client).await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!(
        (record.kind.as_str(), record.queue.as_str()),
        ("Post.Letter", "mail.slow")
    );
    assert_eq!(record.priority, Priority::HIGH);
    assert_eq!(record.options.tags, ["paper", "slow"]);
}
