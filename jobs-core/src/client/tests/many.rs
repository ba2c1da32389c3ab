use super::note;
use crate::client::{Batch, Client, EnqueueMany};
use crate::error::Error;
use crate::job::{JobId, State};
use crate::storage::Inspect;
use crate::storage::probe::{Fault, Probe, rejected, unavailable};

#[tokio::test]
async fn all_go_in_one_statement_and_in_order() {
    let probe = Probe::new();
    let client = Client::new(probe.clone());
    let many = client
        .enqueue_many((0..10_000).map(note))
        .queue("mail")
        .await
        .unwrap();
    assert_eq!(probe.inserts(), [10_000]);
    assert_eq!(many.len(), 10_000);
    assert!(many.ids().is_sorted());
    let last = many.handles().next_back().unwrap().record().await.unwrap();
    assert_eq!(
        (last.args.as_str(), last.queue.as_str()),
        (r#"{"text":"9999"}"#, "mail")
    );
    let ids: Vec<JobId> = many.ids().to_vec();
    let handles: Vec<JobId> = many.into_iter().map(|handle| handle.id()).collect();
    assert_eq!(ids, handles);
}

#[tokio::test]
async fn one_bad_item_is_named_and_nothing_is_stored() {
    let probe = Probe::new();
    let client = Client::new(probe.clone());
    let items = (0..10_000).map(|n| {
        note(if n == 7_123 {
            "\0".into()
        } else {
            n.to_string()
        })
    });
    let error = client.enqueue_many(items).await.unwrap_err().to_string();
    assert!(
        error.starts_with("item 7123, counted from 0: argument `text`"),
        "{error}"
    );
    assert!(probe.inserts().is_empty());
    assert_eq!(probe.stored().await, 0);
}

#[tokio::test]
async fn what_the_storage_refuses_is_refused_whole() {
    let probe = Probe::failing(|_, jobs| match jobs.is_empty() {
        true => Fault::None,
        false => Fault::Before(rejected()),
    });
    let client = Client::new(probe.clone());
    let error = client.enqueue_many((0..3).map(note)).await.unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }));
    assert_eq!(probe.inserts(), [3]);
}

#[tokio::test]
async fn too_many_at_once_are_refused() {
    let probe = Probe::new();
    let client = Client::new(probe.clone());
    let limit = EnqueueMany::<super::Note>::LIMIT;
    let error = client.enqueue_many((0..=limit).map(note)).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("in parts"), "{error}");
    // However many there are: nobody collects them all first.
    let error = client.enqueue_many((0..).map(note)).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("in parts"), "{error}");
    let batch = Batch::new().add_many(EnqueueMany::new((0..).map(note)));
    let error = batch.on(&client).await.unwrap_err().to_string();
    assert!(error.contains("1000001"), "{error}");
    assert_eq!(probe.stored().await, 0);
}

#[tokio::test]
async fn none_is_fine_and_sends_nothing() {
    let probe = Probe::new();
    let client = Client::new(probe.clone());
    let none = client
        .enqueue_many(Vec::<super::Note>::new())
        .await
        .unwrap();
    assert!(none.is_empty());
    assert!(probe.inserts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_stores_each_job_once() {
    let mut left = 3;
    let probe = Probe::failing(move |verb, _| {
        if verb != "insert" || left == 0 {
            return Fault::None;
        }
        left -= 1;
        match left {
            2 => Fault::Before(unavailable()),
            _ => Fault::After(unavailable()),
        }
    });
    let client = Client::new(probe.clone());
    let many = client.enqueue_many((0..5).map(note)).await.unwrap();
    assert_eq!(probe.inserts(), [5, 5, 5, 5]);
    assert_eq!(probe.stored().await, 5);
    for &id in many.ids() {
        let record = probe.job(id).await.unwrap().unwrap();
        assert_eq!(record.state, State::Enqueued);
    }
}
