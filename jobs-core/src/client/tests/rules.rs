//! What is sent of jobs with rules, and what is not.

use serde::Serialize;

use super::{Note, note};
use crate::client::{Client, Enqueue, EnqueueMany, Partial, Then};
use crate::error::{Error, Result};
use crate::job::{
    Job, JobDefaults, LimitDefaults, LimitRule, OnConflict, ParentId, UniqueDefaults, UniqueUntil,
    Weight,
};
use crate::storage::MemoryStorage;
use crate::storage::probe::Probe;

/// A job that declares all there is.
#[derive(Serialize)]
struct Guarded {
    tenant: String,
    pages: u32,
}

impl Job for Guarded {
    const KIND: &'static str = "guarded";
    type Output = String;
    const DEFAULTS: JobDefaults = JobDefaults {
        expires_in: Some(std::time::Duration::from_secs(60)),
        unique: Some(UniqueDefaults {
            args: &["tenant"],
            until: UniqueUntil::Started,
            on_conflict: OnConflict::Replace,
        }),
        limits: &[LimitDefaults {
            rule: LimitRule::concurrency("kind:guarded", 10),
            key: "{tenant}",
            weight: Weight::Argument("pages"),
        }],
        ..JobDefaults::NONE
    };
}

fn guarded(pages: u32) -> Enqueue<'static, Guarded> {
    let tenant = "acme".into();
    Enqueue::new(Guarded { tenant, pages })
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T>, says: &str) {
    match answer {
        Err(Error::Invalid(why)) => assert!(why.contains(says), "{why} should say {says}"),
        other => panic!("{other:?} should be refused: {says}"),
    }
}

#[tokio::test]
async fn what_a_kind_declares_holds_for_each_job() {
    let client = Client::new(MemoryStorage::new());
    let record = guarded(3)
        .on(&client)
        .await
        .unwrap()
        .record()
        .await
        .unwrap();
    let rules = record.rules.unwrap();
    let unique = rules.unique.unwrap();
    assert_eq!(
        (unique.key.as_str(), unique.until),
        (r#"{"tenant":"acme"}"#, UniqueUntil::Started)
    );
    let limit = &rules.limits[0];
    assert_eq!(
        (&*limit.rule.name, limit.key.as_str(), limit.weight),
        ("kind:guarded", "acme", 3)
    );
    assert_eq!(rules.expires_in.unwrap().as_secs(), 60);
    refused(guarded(11).on(&client).await, "a weight of 11 never fits");
    refused(
        guarded(0).on(&client).await,
        "a weight of 0 would not count",
    );
}

#[tokio::test]
async fn what_is_said_of_a_job_comes_before_what_its_kind_declares() {
    let client = Client::new(MemoryStorage::new());
    let limit = LimitRule::concurrency("other", 2);
    let job = guarded(1)
        .unique("mine")
        .on_conflict(OnConflict::Error)
        .limit(&limit);
    let record = job.on(&client).await.unwrap().record().await.unwrap();
    let rules = record.rules.unwrap();
    let unique = rules.unique.unwrap();
    assert_eq!(
        (unique.key.as_str(), unique.on_conflict),
        ("mine", OnConflict::Error)
    );
    let names: Vec<_> = rules.limits.iter().map(|limit| &*limit.rule.name).collect();
    assert_eq!(names, ["other", "kind:guarded"]);
    refused(
        guarded(1)
            .limit(&limit)
            .limit(limit.by("x"))
            .on(&client)
            .await,
        "named twice",
    );
    let reserved = LimitRule::concurrency("kind:other", 2);
    refused(
        guarded(1).limit(reserved).on(&client).await,
        "needs another name",
    );
}

#[tokio::test]
async fn jobs_with_rules_share_no_statement_with_others() {
    let probe = Probe::gated();
    let client = Client::new(probe.clone());
    let limited = || {
        client
            .enqueue(note(1))
            .limit(LimitRule::concurrency("x", 1))
            .into_future()
    };
    let (one, two) = (tokio::spawn(limited()), tokio::spawn(limited()));
    probe.open(2);
    one.await.unwrap().unwrap();
    two.await.unwrap().unwrap();
    assert_eq!(probe.inserts(), [1, 1]);
}

#[tokio::test]
async fn a_chain_is_one_statement() {
    struct Next;
    impl Then<String> for Next {
        type Job = Note;
        fn partial(self) -> Partial<Note, String> {
            Partial::new("text")
        }
    }
    let probe = Probe::new();
    let client = Client::new(probe.clone());
    let last = client
        .enqueue(note(1))
        .then(Next)
        .tag("second")
        .then(Next)
        .await
        .unwrap();
    assert_eq!(probe.inserts(), [3]);
    let record = last.record().await.unwrap();
    assert!(record.options.tags.is_empty());
    assert_eq!(record.args, "{}");
    let rules = record.rules.unwrap();
    let input = rules.input.unwrap();
    assert_eq!(input.field, "text");
    assert_eq!(rules.parents[0].of, ParentId::Job(input.parent));
}

#[tokio::test]
async fn mistakes_anywhere_in_a_chain_store_nothing() {
    struct Bad(f64);
    impl Then<String> for Bad {
        type Job = Guarded;
        fn partial(self) -> Partial<Guarded, String> {
            Partial::new("tenant").field("pages", &self.0)
        }
    }
    let probe = Probe::new();
    let client = Client::builder(probe.clone()).args_limit(20).build();
    refused(
        client.enqueue(note(1)).queue("No").then(Bad(1.0)).await,
        "name of a queue",
    );
    refused(
        client.enqueue(note(1)).then(Bad(f64::NAN)).await,
        "argument `pages` is NaN",
    );
    refused(
        client.enqueue(note(1)).then(Bad(1e300)).await,
        "no key can be made of it",
    );
    refused(
        client.enqueue(note(1)).then(Bad(1.234_567_890_12)).await,
        "too large",
    );
    assert!(probe.inserts().is_empty());
}

#[tokio::test]
async fn many_with_bad_keys_name_the_item() {
    let client = Client::new(MemoryStorage::new());
    let many = EnqueueMany::new([note("a"), note("")]).unique_by(|note| note.text.clone());
    refused(
        many.on(&client).await,
        "item 1, counted from 0: the unique key is empty",
    );
}
