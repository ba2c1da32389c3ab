//! [`Storage::control`](crate::storage::Storage::control).

use std::time::{Duration, Instant};

use chrono::DateTime;

use super::stage::{Hand, close, record, release, retry, store, store_one, store_some, succeed};
use crate::job::{Due, JobId, QueueOrder, State};
use crate::storage::{Control, ControlVerb, Controls, Pause, QueueRecord, Scope, StorageHandle};

pub(super) fn queues(pattern: &str) -> Scope {
    Scope::queues(pattern).expect("a pattern")
}

pub(super) fn kind(name: &str) -> Scope {
    Scope::kind(name).expect("a kind")
}

pub(super) async fn tell(storage: &StorageHandle, verb: ControlVerb, reason: Option<&str>) {
    let control = Control {
        verb,
        actor: "ada".into(),
        reason: reason.map(Into::into),
    };
    storage.control(&control).await.expect("control");
}

pub(super) async fn pause(storage: &StorageHandle, scope: Scope) {
    tell(storage, ControlVerb::Pause(scope, None), None).await;
}

pub(super) async fn resume(storage: &StorageHandle, scope: Scope) {
    tell(storage, ControlVerb::Resume(scope), None).await;
}

async fn order(storage: &StorageHandle, order: Option<QueueOrder>) {
    tell(storage, ControlVerb::Order(order), None).await;
}

async fn controls(storage: &StorageHandle) -> Controls {
    storage.controls().await.expect("controls")
}

async fn queue(storage: &StorageHandle, name: &str) -> Option<QueueRecord> {
    let mut queues = storage.queues().await.expect("queues").into_iter();
    queues.find(|queue| queue.name == name)
}

async fn pause_of(storage: &StorageHandle, name: &str) -> Option<Pause> {
    queue(storage, name).await.and_then(|queue| queue.pause)
}

async fn store_of_kind(storage: &StorageHandle, queue: &str, kind: &str, n: usize) -> Vec<JobId> {
    let mut jobs = super::stage::jobs(queue, n);
    for job in &mut jobs {
        job.kind = kind.to_owned().into();
    }
    store(storage, &jobs).await;
    super::stage::ids(&jobs)
}

/// Nothing of a paused queue starts, named or by pattern, old or new; when it is resumed all does.
pub async fn nothing_of_a_paused_queue_starts(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 2).await;
    store_one(&storage, "b").await;
    pause(&storage, queues("a")).await;
    let new = store_one(&storage, "a").await;
    hand.finds_nothing("a").await;
    let run = hand.take_one("*").await;
    assert_eq!(&*run.queue, "b");
    hand.finds_nothing("*").await;
    assert_eq!(record(&storage, new).await.state, State::Enqueued);
    resume(&storage, queues("a")).await;
    hand.take("*", 3).await;
}

/// Who paused it, why, since when and until when is kept; pausing it again replaces that.
pub async fn who_paused_it_and_why_is_kept(storage: StorageHandle) {
    store_one(&storage, "a").await;
    assert_eq!(pause_of(&storage, "a").await, None);
    let until = storage.now() + chrono::TimeDelta::hours(1);
    let verb = ControlVerb::Pause(queues("a"), Some(Due::At(until)));
    tell(&storage, verb, Some("the mailer is down: \"é\"")).await;
    let found = queue(&storage, "a").await.expect("it is listed");
    assert_eq!(found.enqueued, 1);
    let found = found.pause.expect("it is paused");
    assert_eq!(found.actor, "ada");
    assert_eq!(found.reason.as_deref(), Some("the mailer is down: \"é\""));
    assert!(close(found.since, storage.now()));
    let micros = |time: DateTime<_>| time.timestamp_micros();
    assert_eq!(found.until.map(micros), Some(micros(until)));
    let listed = controls(&storage).await.pauses;
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].scope, &listed[0].pause), (&queues("a"), &found));
    pause(&storage, queues("a")).await;
    let found = pause_of(&storage, "a").await.expect("it is paused");
    assert_eq!((found.reason, found.until), (None, None));
    resume(&storage, queues("a")).await;
    assert_eq!(pause_of(&storage, "a").await, None);
    assert_eq!(controls(&storage).await, Controls::default());
}

/// What workers were told stays on record, newest first: who, what, why, until when.
pub async fn what_was_told_is_on_record(storage: StorageHandle) {
    let events = async |limit| storage.control_events(limit).await.expect("control_events");
    assert_eq!(events(10).await, []);
    let hour = Some(Due::In(Duration::from_secs(3_600)));
    tell(
        &storage,
        ControlVerb::Pause(kind("work"), hour),
        Some("a leak"),
    )
    .await;
    tell(&storage, ControlVerb::Resume(kind("work")), Some("mended")).await;
    let shares = QueueOrder::weighted([("a", 2), ("b.*", 1)]).expect("an order");
    order(&storage, Some(shares.clone())).await;
    order(&storage, None).await;
    let seen = events(10).await;
    let what: Vec<_> = seen
        .iter()
        .map(|event| (&*event.verb, event.scope.clone(), event.reason.as_deref()))
        .collect();
    let wanted = [
        ("order", None, None),
        ("order", None, None),
        ("resume", Some(kind("work")), Some("mended")),
        ("pause", Some(kind("work")), Some("a leak")),
    ];
    assert_eq!(what, wanted);
    assert_eq!((&seen[0].order, &seen[1].order), (&None, &Some(shares)));
    let end = seen[3].until.expect("its end");
    assert!(close(end, seen[3].at + chrono::TimeDelta::hours(1)));
    assert!(
        seen.iter()
            .all(|event| event.actor == "ada" && close(event.at, storage.now()))
    );
    assert!(seen[..3].iter().all(|event| event.until.is_none()));
    assert_eq!(events(1).await, seen[..1]);
}

/// A claim says what is paused and in which order to serve, also one that asks for nothing.
pub async fn a_claim_says_what_workers_are_told(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let told = async || {
        let claimed = hand.claim(&hand.request(&[("x", 1)], 0)).await;
        let queues = claimed.paused.iter().map(ToString::to_string);
        let kinds = claimed.paused_kinds.iter().map(ToString::to_string);
        let mut paused: Vec<String> = queues.chain(kinds).collect();
        paused.sort();
        (paused, claimed.order)
    };
    assert_eq!(told().await, (Vec::new(), None));
    for queue in ["mail", "mail.*", "c"] {
        pause(&storage, queues(queue)).await;
    }
    pause(&storage, kind("Work")).await;
    let strict = QueueOrder::strict(["b", "a"]).expect("an order");
    order(&storage, Some(strict.clone())).await;
    let (paused, served) = told().await;
    assert_eq!(paused, ["Work", "c", "mail", "mail.*"]);
    assert_eq!(served, Some(strict));
    resume(&storage, queues("*")).await;
    order(&storage, None).await;
    assert_eq!(told().await, (vec!["Work".to_owned()], None));
}

/// An order is kept with who set it, until it is taken back or replaced.
pub async fn an_order_is_kept(storage: StorageHandle) {
    for queues in [["a", "b.*"], ["b.*", "a"]] {
        let strict = QueueOrder::strict(queues).expect("an order");
        let verb = ControlVerb::Order(Some(strict.clone()));
        tell(&storage, verb, Some("a rush")).await;
        let kept = controls(&storage).await.order.expect("an order is set");
        assert_eq!((kept.order, &*kept.actor), (strict, "ada"));
        assert_eq!(kept.reason.as_deref(), Some("a rush"));
        assert!(close(kept.since, storage.now()));
    }
    order(&storage, None).await;
    assert_eq!(controls(&storage).await, Controls::default());
}

/// A pattern pauses all queues that it matches, also those that come later; it resumes them, however they
/// were paused.
pub async fn a_pattern_pauses_what_it_matches(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for queue in ["mail", "mail.a", "mail_a"] {
        store_one(&storage, queue).await;
    }
    pause(&storage, queues("mail.*")).await;
    store_one(&storage, "mail.b").await;
    let runs = hand.take("*", 2).await;
    let mut taken: Vec<_> = runs.iter().map(|run| &*run.queue).collect();
    taken.sort_unstable();
    assert_eq!(
        taken,
        ["mail", "mail_a"],
        "the pattern is taken by the letter"
    );
    hand.finds_nothing("*").await;
    hand.finds_nothing("mail.a").await;
    let found = pause_of(&storage, "mail.b").await;
    assert!(found.is_some_and(|pause| pause.actor == "ada"));
    assert_eq!(pause_of(&storage, "mail").await, None);
    // One that is paused twice stays paused when it is resumed alone.
    pause(&storage, queues("mail.a")).await;
    resume(&storage, queues("mail.a")).await;
    hand.finds_nothing("*").await;
    pause(&storage, queues("mail.a")).await;
    resume(&storage, queues("mail*")).await;
    hand.take("mail.*", 2).await;
    assert_eq!(controls(&storage).await.pauses, []);
}

/// Jobs of a paused kind stay where they are while others of their queue run, and are to be had at once
/// when it is resumed, however long they have waited.
pub async fn a_paused_kind_stays_where_it_is(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let old = store_of_kind(&storage, "a", "x", 3).await;
    pause(&storage, kind("x")).await;
    let new = store_of_kind(&storage, "a", "x", 3).await;
    // Others come and go, so that whoever remembers where nothing was sees nothing there for long.
    for _ in 0..5 {
        let others = store_of_kind(&storage, "a", "y", 2).await;
        let runs = hand.take("a", 2).await;
        assert!(runs.iter().all(|run| others.contains(&run.id)));
        for run in &runs {
            hand.end(run, succeed()).await;
        }
        hand.finds_nothing("*").await;
    }
    assert_eq!(record(&storage, old[0]).await.state, State::Enqueued);
    let next = storage.next_due(&hand.request(&[("*", 1)], 1)).await;
    assert_eq!(
        next.expect("next_due"),
        None,
        "what is paused is not waited for"
    );
    // A queue may be paused beside it.
    pause(&storage, queues("a")).await;
    resume(&storage, kind("x")).await;
    hand.finds_nothing("*").await;
    pause(&storage, kind("x")).await;
    resume(&storage, queues("a")).await;
    hand.finds_nothing("*").await;
    resume(&storage, kind("x")).await;
    let first = hand.ask(&[("a", 10)], 10).await;
    assert!(!first.is_empty(), "the next claim sees what waited");
    let more = hand.take("a", old.len() + new.len() - first.len()).await;
    let order: Vec<_> = first.iter().chain(&more).map(|run| run.id).collect();
    assert_eq!(order, [old, new].concat());
}

/// A pause with an end is over then, by itself, and not before.
pub async fn a_pause_ends_by_itself(storage: StorageHandle) {
    const LONG: Duration = Duration::from_millis(400);
    let hand = Hand::hire(&storage).await;
    let paused = Instant::now();
    for scope in [queues("b*"), kind("x")] {
        let verb = ControlVerb::Pause(scope, Some(Due::In(LONG)));
        tell(&storage, verb, None).await;
    }
    store_of_kind(&storage, "a", "x", 1).await;
    store_one(&storage, "b").await;
    let next = storage.next_due(&hand.request(&[("*", 10)], 10)).await;
    let next = next.expect("next_due");
    assert!(
        next.is_some_and(|next| next <= LONG),
        "its end is what comes next: {next:?}"
    );
    for _ in 0..2 {
        hand.take_one("*").await;
        // The storage's clock may run a little faster than this one.
        assert!(
            paused.elapsed() + LONG / 20 >= LONG,
            "{:?}",
            paused.elapsed()
        );
    }
    assert_eq!(controls(&storage).await, Controls::default());
    assert!(pause_of(&storage, "b").await.is_none());
    storage
        .retain(&crate::storage::Retention::FOREVER)
        .await
        .expect("retain");
    assert_eq!(storage.control_events(10).await.expect("events").len(), 2);
}

/// Running jobs of a paused queue end as they do; what comes back to it waits.
pub async fn running_jobs_are_not_touched(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 3).await;
    let runs = hand.take("a", 3).await;
    pause(&storage, queues("a")).await;
    assert_eq!(record(&storage, runs[0].id).await.state, State::Processing);
    hand.end(&runs[0], succeed()).await;
    let ends = vec![
        runs[1].ended(retry(Duration::ZERO)),
        runs[2].ended(release()),
    ];
    assert_eq!(hand.send(ends, vec![runs[1].claim]).await, []);
    hand.finds_nothing("*").await;
    resume(&storage, queues("a")).await;
    hand.take("a", 2).await;
}

/// A queue may be paused before it has jobs, and is listed then.
pub async fn a_queue_without_jobs_may_be_paused(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    pause(&storage, queues("a")).await;
    let found = queue(&storage, "a").await.expect("it is listed");
    assert_eq!(
        (found.enqueued, found.scheduled, found.oldest_due),
        (0, 0, None)
    );
    store_one(&storage, "a").await;
    hand.finds_nothing("*").await;
    resume(&storage, queues("a")).await;
    hand.take_one("a").await;
    let found = queue(&storage, "a").await.expect("what runs is listed");
    assert_eq!((found.enqueued, found.processing), (0, 1));
}

/// Resuming what is not paused is harmless.
pub async fn resuming_again_is_harmless(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    resume(&storage, queues("a")).await;
    pause(&storage, queues("a")).await;
    resume(&storage, queues("a")).await;
    resume(&storage, queues("a")).await;
    store_one(&storage, "a").await;
    hand.take_one("a").await;
}
