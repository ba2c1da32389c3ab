//! Batches: whole or not at all, counted, called back from, added to, nested, cancelled, reopened.

use std::time::Duration;

use jobs::inspect::JobFilter;
use jobs::prelude::*;
use jobs::{BatchId, Error, JobEntry, JobError, State};

use crate::kinds::fills;
use crate::setup::{Effects, Orders, PATIENCE, Place, QUICK, on_all, on_each, until};

#[job]
async fn square(n: i64) -> i64 {
    n * n
}

#[job]
async fn describe(n: i64) -> String {
    format!("{n}")
}

#[job(retries = 0)]
async fn stumble() -> Result<(), JobError> {
    Err("it always does")?
}

#[job]
async fn wait_at(gate: String, ctx: JobContext, effects: Data<Effects>) {
    effects.write("start", &ctx);
    let passed = effects.pass(&gate);
    ctx.cancellation().run_until_cancelled(passed).await;
}

#[job]
async fn split(into: i64, ctx: JobContext) -> Result<(), JobError> {
    let batch = ctx.batch().ok_or("no batch")?;
    batch.add_many(square.enqueue_many(1..=into)).await?;
    Ok(())
}

#[job]
async fn called(what: String, ctx: JobContext, effects: Data<Effects>) -> Result<i64, JobError> {
    effects.write(&what, &ctx);
    let batch = ctx.parent_batch().ok_or("no batch")?;
    Ok(batch.results::<Square>().await?.iter().sum())
}

fn all() -> Vec<&'static JobEntry> {
    jobs![square, describe, stumble, wait_at, split, called]
}

fn with_callbacks(batch: Batch<'static>) -> Batch<'static> {
    batch
        .on_success(called.enqueue("success"))
        .on_failure(called.enqueue("failure"))
        .on_deletion(called.enqueue("deletion"))
        .on_completion(called.enqueue("completion"))
}

/// The callbacks that have run, once as many have as should.
async fn calls(place: &Place, wanted: usize) -> Vec<String> {
    let look = async || {
        let words = ["success", "failure", "deletion", "completion"];
        let ran = |word: &&str| std::iter::repeat_n(word.to_string(), place.effects.of(word).len());
        words.iter().flat_map(ran).collect::<Vec<_>>()
    };
    let ran = until("callbacks have run", PATIENCE, look, |ran| {
        ran.len() >= wanted
    })
    .await;
    place.drained_but_awaiting().await;
    assert_eq!(look().await, ran);
    ran
}

on_each!(jobs_of_all_kinds_end_together: memory, sqlite, postgres);

async fn jobs_of_all_kinds_end_together(place: &Place) {
    let worker = place.worker(all()).start().await.unwrap();
    let batch = Batch::new()
        .name("squares")
        .keep_for(hours(2))
        .add(square.enqueue(2).tag("one"))
        .add(square.enqueue(3).keep_for(hours(1)).then(&describe))
        .add_many(square.enqueue_many([4, 5]));
    let batch = with_callbacks(batch).on(&place.client).await.unwrap();
    let record = batch.wait().await.unwrap();
    assert_eq!(
        (record.total, record.succeeded, record.outcome()),
        (5, 5, State::Succeeded)
    );
    assert_eq!(record.name.as_deref(), Some("squares"));
    assert_eq!(calls(place, 2).await, ["success", "completion"]);
    assert_eq!(batch.results::<Square>().await.unwrap(), [4, 9, 16, 25]);
    assert_eq!(batch.results::<Describe>().await.unwrap(), ["9"]);
    let filter = JobFilter {
        tag: Some("one".into()),
        ..JobFilter::default()
    };
    let one = batch.members(&filter).await.unwrap().jobs;
    assert_eq!((one.len(), one[0].options.keep_for), (1, Some(hours(2))));
    let kept: Vec<_> = batch.members(&JobFilter::default()).await.unwrap().jobs;
    assert_eq!(
        kept.iter()
            .filter(|job| job.options.keep_for == Some(hours(1)))
            .count(),
        1
    );
    worker.stop().await;
}

on_each!(a_failed_member_calls_for_help: memory, sqlite, postgres);

async fn a_failed_member_calls_for_help(place: &Place) {
    let worker = place.worker(all()).start().await.unwrap();
    let batch = Batch::new().add(square.enqueue(1)).add(stumble.enqueue());
    let batch = with_callbacks(batch).on(&place.client).await.unwrap();
    let record = batch.wait().await.unwrap();
    assert_eq!((record.failed, record.outcome()), (1, State::Failed));
    assert_eq!(calls(place, 2).await, ["failure", "completion"]);
    worker.stop().await;
}

on_each!(an_empty_batch_ends_at_once: memory, sqlite, postgres);

async fn an_empty_batch_ends_at_once(place: &Place) {
    let worker = place.worker(all()).start().await.unwrap();
    let batch = with_callbacks(Batch::new())
        .on(&place.client)
        .await
        .unwrap();
    assert!(batch.record().await.unwrap().finished_at.is_some());
    assert_eq!(calls(place, 2).await, ["success", "completion"]);
    worker.stop().await;
}

on_each!(many_are_stored_in_parts_and_run_when_complete: memory, sqlite, postgres);

async fn many_are_stored_in_parts_and_run_when_complete(place: &Place) {
    let client = &place.client;
    let mut open = Batch::new()
        .add(square.enqueue(0))
        .on(client)
        .open()
        .await
        .unwrap();
    for part in 0..2 {
        let many = square.enqueue_many(part * 6_000..(part + 1) * 6_000);
        open.add_many(many).await.unwrap();
    }
    let id = open.id();
    let worker = place.worker(all()).start().await.unwrap();
    let record = client.batch(id).record().await.unwrap();
    assert_eq!(
        (record.total, record.succeeded, record.sealed_at),
        (12_001, 0, None)
    );
    assert_eq!(
        place.storage.inspect().counts().await.unwrap().awaiting,
        12_001
    );
    let batch = open.seal().await.unwrap();
    assert_eq!(batch.wait().await.unwrap().succeeded, 12_001);
    // The same in one call.
    let batch = Batch::new()
        .add_many(square.enqueue_many(0..12_000))
        .on(client)
        .await
        .unwrap();
    assert_eq!(batch.wait().await.unwrap().succeeded, 12_000);
    worker.stop().await;
}

on_each!(members_add_to_their_own_batch: memory, sqlite, postgres);

async fn members_add_to_their_own_batch(place: &Place) {
    let client = &place.client;
    let worker = place.worker(all()).start().await.unwrap();
    let sum = Batch::new()
        .add(split.enqueue(4))
        .on_success(called.enqueue("success"));
    let batch = sum.on(client).await.unwrap();
    let record = batch.wait().await.unwrap();
    assert_eq!((record.total, record.succeeded), (5, 5));
    assert_eq!(calls(place, 1).await, ["success"]);
    let late = batch.add(square.enqueue(1)).await.unwrap_err().to_string();
    assert!(late.contains("has ended"), "{late}");
    batch.reopen().await.unwrap();
    square.enqueue(1).in_batch(&batch).on(client).await.unwrap();
    let look = async || batch.record().await.unwrap().succeeded;
    until("the late one counts", PATIENCE, look, |&count| count == 6).await;
    assert_eq!(calls(place, 1).await, ["success"]);
    worker.stop().await;
}

on_each!(a_cancelled_batch_stops: memory, sqlite, postgres);

async fn a_cancelled_batch_stops(place: &Place) {
    let client = &place.client;
    let worker = place.worker(all()).start().await.unwrap();
    let inner = Batch::new().add(wait_at.enqueue("never"));
    let batch = Batch::new()
        .add(wait_at.enqueue("never"))
        .add_many(square.enqueue_many([1, 2]).delay(days(1)))
        .add_batch(inner);
    let batch = with_callbacks(batch).on(client).await.unwrap();
    place.started(2).await;
    assert_eq!(batch.cancel().by("ada").because("enough").await.unwrap(), 4);
    let record = batch.wait().await.unwrap();
    assert_eq!(
        (record.outcome(), record.total, record.deleted),
        (State::Deleted, 4, 4)
    );
    assert_eq!(calls(place, 2).await, ["deletion", "completion"]);
    worker.stop().await;
}

on_each!(batches_stand_in_batches: memory, sqlite, postgres);

async fn batches_stand_in_batches(place: &Place) {
    let client = &place.client;
    let worker = place.worker(all()).start().await.unwrap();
    let innermost = Batch::new().add(stumble.enqueue());
    let inner = Batch::new().add(square.enqueue(2)).add_batch(innermost);
    let outer = Batch::new()
        .add_batch(inner)
        .add_batch(Batch::new().add(square.enqueue(3)));
    let batch = with_callbacks(outer).on(client).await.unwrap();
    let record = batch.wait().await.unwrap();
    assert_eq!((record.total, record.succeeded, record.failed), (2, 1, 1));
    assert_eq!(calls(place, 2).await, ["failure", "completion"]);
    worker.stop().await;
}

on_each!(what_makes_no_sense_is_refused: memory);

async fn what_makes_no_sense_is_refused(place: &Place) {
    let client = &place.client;
    let refused = async |batch: Batch<'static>, says: &str| match batch.on(client).await {
        Err(Error::Invalid(why)) => assert!(why.contains(says), "{why} should say {says}"),
        other => panic!("{other:?} should be refused: {says}"),
    };
    refused(Batch::new().name(""), "is empty").await;
    refused(Batch::new().name("x".repeat(257)), "longer than 256").await;
    refused(
        Batch::new().add(square.enqueue(1).on(client)),
        "say `.on(..)`",
    )
    .await;
    refused(
        Batch::new().add(square.enqueue(1).in_batch(BatchId::new())),
        "leave `.in_batch(..)` out",
    )
    .await;
    refused(
        Batch::new().add_batch(Batch::new().on(client)),
        "the outer one",
    )
    .await;
    refused(Batch::new().add_batch(Batch::new().name("")), "is empty").await;
    refused(
        Batch::new().add_many(square.enqueue_many([1]).queue("No")),
        "queue",
    )
    .await;
    let too_many = square.enqueue_many(std::iter::repeat_n(1, 1_000_001));
    refused(Batch::new().add_many(too_many), "1000001 jobs is too large").await;
    assert_eq!(
        place.storage.inspect().counts().await.unwrap().unfinished(),
        0
    );

    let batch = Batch::new()
        .add(square.enqueue(1).delay(hours(1)))
        .on(client)
        .await
        .unwrap();
    let itself = square.enqueue(1).in_batch(&batch).after(batch.on_any());
    let error = itself.on(client).await.unwrap_err().to_string();
    assert!(error.contains("it would wait for itself"), "{error}");
    let unknown = square.enqueue(1).in_batch(BatchId::new()).on(client).await;
    assert!(
        matches!(unknown, Err(Error::UnknownBatch(_))),
        "{unknown:?}"
    );
    let unknown = client.batch(BatchId::new()).record().await;
    assert!(
        matches!(unknown, Err(Error::UnknownBatch(_))),
        "{unknown:?}"
    );
    assert!(
        batch
            .wait_for(Duration::from_millis(20))
            .await
            .unwrap()
            .is_none()
    );
}

on_each!(batches_and_chains_come_with_the_callers_commit: sqlite, postgres);

/// The same words for the transactions of both databases.
macro_rules! stored_within {
    ($pool:ident, $place:ident, $commits:ident) => {{
        let (client, mut tx) = ($place.client.clone(), $pool.begin().await.unwrap());
        let batch = Batch::new()
            .add_many(square.enqueue_many([2, 3]))
            .on_success(called.enqueue("success"))
            .on(&client)
            .within(&mut tx)
            .await
            .unwrap();
        let flow = Flow::new()
            .node("first", square.enqueue(4))
            .node("second", square.enqueue(5))
            .edge("first", "second")
            .on(&client)
            .within(&mut tx)
            .await
            .unwrap();
        let chain = square
            .enqueue(6)
            .then(&describe)
            .on(&client)
            .within(&mut tx);
        let chain = chain.await.unwrap();
        match $commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        (batch, flow, chain)
    }};
}

async fn batches_and_chains_come_with_the_callers_commit(place: &Place) {
    let sqlite = place.url.starts_with("sqlite");
    let stored = async |commits: bool| match sqlite {
        true => {
            let pool = sqlx::SqlitePool::connect(&place.url).await.unwrap();
            stored_within!(pool, place, commits)
        }
        false => {
            let pool = sqlx::PgPool::connect(&place.url).await.unwrap();
            stored_within!(pool, place, commits)
        }
    };
    let (batch, _, chain) = stored(false).await;
    assert!(matches!(batch.record().await, Err(Error::UnknownBatch(_))));
    assert!(matches!(chain.state().await, Err(Error::UnknownJob(_))));
    assert_eq!(
        place.storage.inspect().counts().await.unwrap().unfinished(),
        0
    );
    let (batch, flow, chain) = stored(true).await;
    let worker = place.worker(all()).start().await.unwrap();
    assert_eq!(batch.wait().await.unwrap().succeeded, 2);
    assert_eq!(flow.wait().await.unwrap().counts.succeeded, 2);
    assert_eq!(chain.result().await.unwrap(), "36");
    assert_eq!(calls(place, 1).await, ["success"]);
    worker.stop().await;
}

on_all!(a_batch_whose_maker_is_killed_never_runs: sqlite, postgres);

/// A process is killed while it stores a batch, part by part: no member of it ever runs. Another worker runs the job that
/// was to store it once more, and of that batch all run.
async fn a_batch_whose_maker_is_killed_never_runs(place: &Place) {
    let counts = async || place.storage.inspect().counts().await.unwrap();
    // Whoever is fast has stored all of it before the kill, and then does more.
    let mut members = 20_000;
    let making = loop {
        let making = kill_the_maker(place, members).await;
        if place.effects.of_job("end", making.id()).is_empty() {
            break making;
        }
        assert!(members < 2_000_000, "it was complete too soon each time");
        members *= 3;
        let all = place.process(|orders| {
            noops_in_a_hurry(orders);
            // It may not have said so before it was killed.
            orders.kinds.push("e2e.fills".into());
        });
        let all = all.await;
        place.drained(PATIENCE * 5).await;
        drop(all);
    };
    let before = counts().await.succeeded;

    let worker = place.process(noops_in_a_hurry).await;
    until("its death is noticed", PATIENCE, counts, |counts| {
        counts.processing == 0
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let now = counts().await;
    assert_eq!((now.succeeded, now.enqueued), (before, 1), "{now:?}");
    let left = now.awaiting;
    assert!(left > 0 && left < u64::from(members), "{left}");
    let heir = place
        .process(|orders| orders.kinds = vec!["e2e.fills".into()])
        .await;
    making.result().await.unwrap();
    let all_ran = async || counts().await.succeeded;
    let wanted = before + u64::from(members) + 1;
    until("the whole batch has run", PATIENCE * 5, all_ran, |ran| {
        *ran == wanted
    })
    .await;
    assert_eq!(counts().await.awaiting, left);
    drop((worker, heir));
}

/// Knows the members, and notices deaths soon.
fn noops_in_a_hurry(orders: &mut Orders) {
    (orders.kinds, orders.liveness) = (vec!["e2e.noop".into()], Some(QUICK));
}

/// Kills a process that stores a batch of so many, once a part of it is there.
async fn kill_the_maker(place: &Place, members: u32) -> JobHandle<()> {
    let maker = place
        .process(|orders| {
            (orders.kinds, orders.liveness) = (vec!["e2e.fills".into()], Some(QUICK));
        })
        .await;
    let making = fills.enqueue(members).on(&place.client).await.unwrap();
    let stored = async || {
        let counts = place.storage.inspect().counts().await.unwrap();
        counts.awaiting > 0 || !place.effects.of_job("end", making.id()).is_empty()
    };
    until("a part is stored", PATIENCE, stored, |stored| *stored).await;
    maker.kill();
    making
}
