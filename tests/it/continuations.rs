//! Jobs that wait for others, chains whose results are handed on, and joins.

use jobs::prelude::*;
use jobs::{Condition, Error, JobError, Parent, ParentId, State};

use crate::setup::{Effects, Place, on_each};

#[job]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[job]
async fn double(n: i64) -> i64 {
    2 * n
}

#[job]
async fn caption(n: i64, title: String, unit: &str) -> String {
    format!("{title}: {n} {unit}")
}

#[job]
async fn shout(text: String) -> String {
    text.to_uppercase()
}

#[job]
async fn nothing() {}

#[job]
async fn after_nothing(_nothing: ()) -> bool {
    true
}

#[job]
async fn endless(_n: i64) -> f64 {
    f64::INFINITY
}

#[job]
async fn take(x: f64) -> f64 {
    x
}

#[job(retries = 0)]
async fn held(gate: String, fails: bool, effects: Data<Effects>) -> Result<i64, JobError> {
    effects.pass(&gate).await;
    if fails {
        Err("it was told to")?;
    }
    Ok(7)
}

#[job]
async fn sum(ctx: JobContext) -> Result<i64, JobError> {
    let all: Vec<i64> = ctx.parent_results().await?;
    let Some(Parent {
        of: ParentId::Job(first),
        ..
    }) = ctx.parents().first()
    else {
        return Ok(0);
    };
    assert_eq!(ctx.parent_result::<i64>(*first).await?, all[0]);
    Ok(all.iter().sum())
}

fn all() -> Vec<&'static jobs::JobEntry> {
    jobs![
        add,
        double,
        caption,
        shout,
        nothing,
        after_nothing,
        endless,
        take,
        held,
        sum
    ]
}

on_each!(a_chain_hands_its_results_on: memory, sqlite, postgres);

async fn a_chain_hands_its_results_on(place: &Place) {
    let worker = place.worker(all()).start().await.unwrap();
    let shown = add
        .enqueue(1, 2)
        .then(&double)
        .then(caption.with("length", "m"))
        .tag("last")
        .then(&shout)
        .on(&place.client)
        .await
        .unwrap();
    assert_eq!(shown.result().await.unwrap(), "LENGTH: 6 M");
    let record = shown.record().await.unwrap();
    assert!(record.options.tags.is_empty());
    let rules = record.rules.unwrap();
    let ParentId::Job(before) = rules.parents[0].of else {
        panic!("{rules:?}")
    };
    let before = place.record(before).await;
    assert_eq!(
        (before.kind.as_str(), before.options.tags),
        ("caption", vec!["last".to_owned()])
    );
    // What returns nothing can be followed too.
    let after = nothing.enqueue().then(&after_nothing).on(&place.client);
    assert!(after.await.unwrap().result().await.unwrap());
    worker.stop().await;
}

on_each!(a_result_that_was_not_kept_is_told_in_a_chain: memory, sqlite, postgres);

async fn a_result_that_was_not_kept_is_told_in_a_chain(place: &Place) {
    let worker = place.worker(all()).start().await.unwrap();
    let last = add.enqueue(1, 2).then(&endless).then(&take);
    let record = last.on(&place.client).await.unwrap().wait().await.unwrap();
    assert_eq!((record.state, record.attempt), (State::Failed, 1));
    let reason = record.reason.unwrap();
    assert!(
        reason.starts_with("its argument `x` is the result of job ")
            && reason.contains("that has none: Its result could not be kept"),
        "{reason}"
    );
    worker.stop().await;
}

on_each!(a_child_waits_for_its_parent: memory, sqlite, postgres);

async fn a_child_waits_for_its_parent(place: &Place) {
    let client = &place.client;
    let worker = place.worker(all()).start().await.unwrap();
    let parent = held.enqueue("go", false).on(client).await.unwrap();
    let child = sum.enqueue().after(&parent).on(client).await.unwrap();
    let record = place.until_state(child.id(), State::Awaiting).await;
    assert_eq!(record.rules.unwrap().parents, [parent.on_success()]);
    assert_eq!(
        place.storage.inspect().awaited(child.id()).await.unwrap(),
        [parent.on_success()]
    );
    place.effects.open_gate("go");
    assert_eq!(child.result().await.unwrap(), 7);
    // One that has ended is met at once.
    let late = sum.enqueue().after(&parent).on(client).await.unwrap();
    assert_eq!(late.result().await.unwrap(), 7);
    worker.stop().await;
}

on_each!(a_join_waits_for_jobs_of_all_types: memory, sqlite, postgres);

async fn a_join_waits_for_jobs_of_all_types(place: &Place) {
    let client = &place.client;
    let worker = place.worker(all()).start().await.unwrap();
    let (one, two) = (
        add.enqueue(1, 2).on(client).await.unwrap(),
        held.enqueue("go", false).on(client).await.unwrap(),
    );
    let text = shout.enqueue("x").on(client).await.unwrap();
    let numbers = sum
        .enqueue()
        .after_all([&one, &two])
        .on(client)
        .await
        .unwrap();
    let mixed = nothing
        .enqueue()
        .after_all([&one, &text, &two.on_any()])
        .on(client)
        .await
        .unwrap();
    let by_ids = sum
        .enqueue()
        .after_ids(vec![one.id(), two.id(), one.id()])
        .on(client)
        .await
        .unwrap();
    assert_eq!(numbers.state().await.unwrap(), State::Awaiting);
    place.effects.open_gate("go");
    assert_eq!(numbers.result().await.unwrap(), 10);
    assert_eq!(by_ids.result().await.unwrap(), 10);
    assert_eq!(mixed.wait().await.unwrap().state, State::Succeeded);
    worker.stop().await;
}

on_each!(how_a_parent_ends_decides: memory, sqlite, postgres);

async fn how_a_parent_ends_decides(place: &Place) {
    let client = &place.client;
    let worker = place.worker(all()).start().await.unwrap();
    let parent = held.enqueue("fail", true).on(client).await.unwrap();
    let after = async |parent: Parent| nothing.enqueue().after(parent).on(client).await.unwrap();
    let on_success = after(parent.on_success()).await;
    let on_failure = after(parent.on_failure()).await;
    let on_deletion = after(parent.on_deletion()).await;
    let on_any = after(parent.on_any()).await;
    place.effects.open_gate("fail");
    for runs in [&on_failure, &on_any] {
        assert_eq!(runs.wait().await.unwrap().state, State::Succeeded);
    }
    let record = on_deletion.wait().await.unwrap();
    let reason = format!("its parent {} failed", parent.id());
    assert_eq!(
        (record.state, record.reason),
        (State::Deleted, Some(reason))
    );
    // The failed one may be run again, and this time end well.
    assert_eq!(on_success.state().await.unwrap(), State::Awaiting);
    client.delete(parent.id()).await.unwrap();
    let record = on_success.wait().await.unwrap();
    let reason = format!("its parent {} was deleted", parent.id());
    assert_eq!(
        (record.state, record.reason),
        (State::Deleted, Some(reason))
    );
    worker.stop().await;
}

on_each!(an_unknown_parent_is_an_error: memory, sqlite, postgres);

async fn an_unknown_parent_is_an_error(place: &Place) {
    let unknown = JobId::new();
    let child = nothing.enqueue().after(unknown).on(&place.client).await;
    assert!(matches!(child, Err(Error::UnknownJob(id)) if id == unknown));
    let parent = nothing.enqueue().on(&place.client).await.unwrap();
    let twice = nothing.enqueue().after(&parent).after(parent.on_failure());
    let error = twice.on(&place.client).await.unwrap_err().to_string();
    assert!(error.contains("on success and on failure"), "{error}");
    let counts = place.storage.inspect().counts().await.unwrap();
    assert_eq!(counts.unfinished(), 1);
    assert_eq!(Condition::Success, parent.on_success().on);
}
