//! Metadata and what is inherited of it; jobs that expire.

use std::time::Duration;

use jobs::inspect::JobFilter;
use jobs::prelude::*;
use jobs::{JobEntry, JobError, State};

use crate::setup::{Effects, PATIENCE, Place, on_all, on_each, until};

#[job]
async fn grandchild(ctx: JobContext) -> Option<String> {
    ctx.metadata("tenant").map(str::to_owned)
}

#[job]
async fn child(ctx: JobContext) -> Result<JobId, JobError> {
    assert_eq!(ctx.metadata("locale"), Some("fr"));
    assert_eq!(ctx.metadata("note"), None);
    // In a task of its own, too.
    let task = tokio::spawn(ctx.scope(async { grandchild.enqueue().await }));
    Ok(task.await??.id())
}

#[job]
fn parent(ctx: JobContext) -> Result<JobId, JobError> {
    assert_eq!(ctx.metadata("note"), Some("mine alone"));
    let french = child.enqueue().metadata("locale", "fr");
    let handle = tokio::runtime::Handle::current();
    Ok(handle.block_on(french.into_future())?.id())
}

/// Enqueues by every door there is, and answers what has come of it.
#[job]
async fn by_all_doors() -> Result<Vec<JobId>, JobError> {
    let mut all = grandchild.enqueue_many([(), ()]).await?.ids().to_vec();
    all.push(told.enqueue(None).then(&told).await?.id());
    let batch = Batch::new()
        .add(grandchild.enqueue())
        .on_success(grandchild.enqueue())
        .await?;
    let members = batch.members(&JobFilter::default()).await?.jobs;
    all.extend(members.iter().map(|job| job.id));
    let flow = Flow::new().node("one", grandchild.enqueue()).await?;
    all.push(flow.node::<Option<String>>("one").await?.id());
    Ok(all)
}

/// As its parent, if that knew of a tenant.
#[job]
async fn told(before: Option<String>, ctx: JobContext) -> Option<String> {
    let own = ctx.metadata("tenant").map(str::to_owned);
    before.or(own)
}

#[job(expires_in = "1h")]
async fn fresh() {}

/// Fails as it is told, or wants to be asked again later.
#[job(retries = 0)]
async fn perishable(how: String, effects: Data<Effects>, ctx: JobContext) -> Result<(), JobError> {
    let before = effects.of_job("start", ctx.id()).len();
    effects.write("start", &ctx);
    match &*how {
        "snoozes" if before == 0 => Err(JobError::snooze(SOON))?,
        "fails" if before == 0 => Err("the first time")?,
        _ => Ok(()),
    }
}

/// When what is not to be kept for long expires. Not sooner: what is to be started by then must be, on a busy machine too.
const SOON: Duration = Duration::from_secs(8);

fn all() -> Vec<&'static JobEntry> {
    jobs![
        grandchild,
        child,
        parent,
        by_all_doors,
        told,
        fresh,
        perishable
    ]
}

on_each!(what_is_inherited_is_passed_on: memory, sqlite, postgres);

async fn what_is_inherited_is_passed_on(place: &Place) {
    let client = &place.client;
    let worker = place.worker(all()).start().await.unwrap();
    let first = parent
        .enqueue()
        .inherited_metadata("tenant", "acme")
        .inherited_metadata("locale", "de")
        .metadata("note", "mine alone")
        .on(client)
        .await
        .unwrap();
    let second = client.handle::<JobId>(first.result().await.unwrap());
    let third = client.handle::<Option<String>>(second.result().await.unwrap());
    assert_eq!(third.result().await.unwrap().as_deref(), Some("acme"));
    let metadata = third.record().await.unwrap().options.metadata;
    // Its parent's own locale was not to be inherited.
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["tenant"]);
    let unrelated = grandchild.enqueue().on(client).await.unwrap();
    assert_eq!(unrelated.result().await.unwrap(), None);
    worker.stop().await;
}

on_each!(what_is_inherited_is_passed_on_by_all_doors: memory, sqlite, postgres);

async fn what_is_inherited_is_passed_on_by_all_doors(place: &Place) {
    let client = &place.client;
    let worker = place.worker(all()).start().await.unwrap();
    let first = by_all_doors.enqueue().inherited_metadata("tenant", "acme");
    let made = first.on(client).await.unwrap().result().await.unwrap();
    assert_eq!(made.len(), 5);
    for id in made {
        let answer: Option<String> = client.handle(id).result().await.unwrap();
        assert_eq!(
            answer.as_deref(),
            Some("acme"),
            "{:?}",
            place.record(id).await
        );
    }
    place.drained(PATIENCE).await;
    let all = place.storage.inspect().jobs(&JobFilter::default()).await;
    for job in all.unwrap().jobs {
        let tenant = job.options.metadata.get("tenant");
        assert!(
            tenant.is_some_and(|tenant| tenant.value == "acme"),
            "{job:?}"
        );
    }
    worker.stop().await;
}

on_each!(metadata_has_bounds: memory);

async fn metadata_has_bounds(place: &Place) {
    let refused = async |job: jobs::Enqueue<'static, Fresh>, says: &str| {
        let error = job.on(&place.client).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error} should say {says}");
    };
    refused(
        fresh.enqueue().metadata("a b", "x"),
        "name of a metadata value",
    )
    .await;
    refused(fresh.enqueue().metadata("a", "x\0"), "NUL").await;
    refused(
        fresh.enqueue().metadata("a", "x".repeat(4_097)),
        "4097 bytes",
    )
    .await;
    let mut many = fresh.enqueue();
    for n in 0..5 {
        many = many.metadata(format!("n{n}"), "x".repeat(4_000));
    }
    refused(many, "16384 bytes at most").await;
}

on_each!(what_is_not_started_in_time_expires: memory, sqlite, postgres);

async fn what_is_not_started_in_time_expires(place: &Place) {
    let client = &place.client;
    let declared = fresh
        .enqueue()
        .on(client)
        .await
        .unwrap()
        .record()
        .await
        .unwrap();
    assert_eq!(declared.rules.unwrap().expires_in, Some(hours(1)));
    let never = fresh
        .enqueue()
        .delay(hours(2))
        .on(client)
        .await
        .unwrap_err()
        .to_string();
    assert!(never.contains("it would never run"), "{never}");
    let at_once = fresh
        .enqueue()
        .expires_in(seconds(0))
        .on(client)
        .await
        .unwrap_err()
        .to_string();
    assert!(at_once.contains("expires at once"), "{at_once}");
    let short = grandchild
        .enqueue()
        .expires_in(std::time::Duration::from_millis(1))
        .queue("nobody")
        .on(client);
    let short = short.await.unwrap();
    // Any worker sees to it, whatever its queues.
    let worker = place
        .worker(all())
        .queues(["others"])
        .start()
        .await
        .unwrap();
    let record = short.wait().await.unwrap();
    assert_eq!((record.state, record.attempt), (State::Deleted, 0));
    assert_eq!(
        record.reason.as_deref(),
        Some("was not started within 1 ms")
    );
    worker.stop().await;
}

on_all!(what_was_started_or_requeued_does_not_expire: memory, sqlite, postgres);

/// It was started in time, and comes again when the time is over; or an operator wants it all the same.
async fn what_was_started_or_requeued_does_not_expire(place: &Place) {
    let client = &place.client;
    let stored = async |how: &str, expires_in| {
        let job = perishable.enqueue(how).expires_in(expires_in);
        job.on(client).await.unwrap()
    };
    let expired = stored("is late", Duration::from_millis(100)).await;
    let look = async || {
        place.storage.tick().await.unwrap();
        expired.state().await.unwrap()
    };
    until("it expires", PATIENCE, look, |state| {
        *state == State::Deleted
    })
    .await;
    let worker = place.worker(all()).start().await.unwrap();
    let [snoozed, failed] = [stored("snoozes", SOON).await, stored("fails", SOON).await];
    place.until_state(failed.id(), State::Failed).await;
    assert_eq!(snoozed.wait().await.unwrap().state, State::Succeeded);
    for requeued in [expired, failed] {
        client.requeue(requeued.id()).by("ada").await.unwrap();
        let record = requeued.wait().await.unwrap();
        assert_eq!(record.state, State::Succeeded, "{record:?}");
    }
    worker.stop().await;
}
