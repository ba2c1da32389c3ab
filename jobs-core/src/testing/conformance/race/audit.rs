//! What must be true when all is quiet, seen through the public methods alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::sleep;

use super::super::control::resume;
use super::super::stage::{Hand, Patience, eventually, record, runs, succeed};
use super::actors::rescue_once;
use super::ledger::{Books, End, Ledger};
use super::rules;
use crate::job::{AttemptOutcome, ClaimId, JobId, JobRecord, State};
use crate::storage::{JobFilter, StatRecord, StorageHandle, Verb};

/// How many histories are read at each quiet moment.
const SAMPLE: usize = 300;

type Ends = HashMap<JobId, BTreeMap<i32, End>>;

pub(super) async fn records(storage: &StorageHandle) -> HashMap<JobId, JobRecord> {
    let mut all = HashMap::new();
    let mut filter = JobFilter {
        limit: 1_000,
        ..JobFilter::default()
    };
    loop {
        let page = storage.jobs(&filter).await.expect("jobs");
        all.extend(page.jobs.into_iter().map(|job| (job.id, job)));
        match page.next {
            Some(next) => filter.before = Some(next),
            None => return all,
        }
    }
}

/// Waits until nothing is under way: a database goes on with what its caller has lost interest in.
pub(super) async fn calm(storage: &StorageHandle) {
    let look = async || {
        let counts = storage.counts().await.expect("counts");
        // What falls due meanwhile is no unrest.
        (counts.processing, counts.unfinished(), counts.succeeded)
    };
    let mut before = look().await;
    eventually("nothing is under way", async || {
        sleep(Duration::from_millis(40)).await;
        let now = look().await;
        let calm = now == before;
        before = now;
        calm.then_some(())
    })
    .await;
}

/// Nothing is under way: all books agree.
pub(super) async fn all_quiet(storage: &StorageHandle, ledger: &Ledger) {
    storage.tick().await.expect("tick");
    let records = records(storage).await;
    counts_agree(storage, &records).await;
    stats_agree(storage, ledger, &records).await;
    rules::agree(storage, ledger, &records).await;
    let sample = {
        let books = ledger.books();
        let stored: HashSet<_> = books.jobs.iter().copied().collect();
        let listed: HashSet<_> = records.keys().copied().collect();
        assert_eq!(stored.len(), books.jobs.len());
        assert!(stored == listed, "the jobs stored are the jobs listed");
        let ends = ends(&books);
        for record in records.values() {
            ended_as_it_stands(record, &books, ends.get(&record.id));
        }
        let eventful = |id: &&JobId| ends.contains_key(*id) || books.verbs.contains_key(*id);
        let recent = books.jobs.iter().rev().filter(eventful).take(SAMPLE);
        let sample = recent.map(|id| {
            let ends = ends.get(id).cloned().unwrap_or_default();
            let verbs = books.verbs.get(id).cloned().unwrap_or_default();
            (records[id].clone(), ends, verbs)
        });
        sample.collect::<Vec<_>>()
    };
    for (record, ends, verbs) in sample {
        history_agrees(storage, &record, &ends, &verbs).await;
    }
}

fn ends(books: &Books) -> Ends {
    let mut ends = Ends::new();
    for (&(id, run), settled) in &books.settled {
        ends.entry(id).or_default().insert(run, settled.end);
    }
    ends
}

async fn counts_agree(storage: &StorageHandle, records: &HashMap<JobId, JobRecord>) {
    let mut counts = storage.counts().await.expect("counts");
    let count = |state| records.values().filter(|job| job.state == state).count() as u64;
    for state in [
        State::Processing,
        State::Succeeded,
        State::Failed,
        State::Deleted,
        State::Awaiting,
    ] {
        assert_eq!(*counts.of(state), count(state), "counted as {state}");
    }
    // Which of the two is a matter of time.
    let waiting = count(State::Scheduled) + count(State::Enqueued);
    assert_eq!(counts.scheduled + counts.enqueued, waiting);
    let workers = storage.workers().await.expect("workers");
    let held: u64 = workers.iter().map(|worker| worker.processing).sum();
    assert_eq!(held, counts.processing, "what runs is held by workers");
}

async fn stats_agree(
    storage: &StorageHandle,
    ledger: &Ledger,
    records: &HashMap<JobId, JobRecord>,
) {
    let (now, day) = (storage.now(), TimeDelta::days(1));
    let stats = storage.stats(now - day, now + day).await.expect("stats");
    let sum = |of: fn(&StatRecord) -> u64| stats.iter().map(of).sum::<u64>();
    let books = ledger.books();
    let ended = |end| {
        let settled = books.settled.values();
        settled.filter(|settled| settled.end == end).count() as u64
    };
    let verbs = books.verbs.values().flatten();
    let deleted = verbs.filter(|verb| **verb == Verb::Delete).count() as u64;
    assert_eq!(sum(|stat| stat.succeeded), ended(End::Succeeded));
    assert_eq!(sum(|stat| stat.retried), ended(End::Retried));
    let failed = ended(End::Failed) + books.rescued.failed;
    assert_eq!(sum(|stat| stat.failed), failed);
    // Besides, jobs are Deleted because of their rules or with their batch (some of those later than it is answered): once,
    // and perhaps again after each requeue.
    let besides = |job: &&JobRecord| deleted_by_rule(job) || deleted_with_batch(job);
    let besides = records.values().filter(besides).count() as u64;
    let requeued = |job: &JobRecord| {
        let verbs = books.verbs.get(&job.id).into_iter().flatten();
        verbs.filter(|verb| **verb == Verb::Requeue).count() as u64
    };
    let ruled = records.values().filter(|job| job.rules.is_some());
    let perhaps: u64 = ruled.map(requeued).sum();
    let counted = sum(|stat| stat.deleted);
    let least = deleted + besides;
    assert!(
        (least..=least + perhaps).contains(&counted),
        "{counted} of {least} and perhaps {perhaps}"
    );
}

/// Whether a job is Deleted for a reason that follows from its rules alone.
fn deleted_by_rule(job: &JobRecord) -> bool {
    let reason = job.reason.as_deref().unwrap_or_default();
    let rule = ["its parent ", "its batch 0", "was not started within "];
    job.state == State::Deleted && rule.iter().any(|rule| reason.starts_with(rule))
}

/// Whether it is Deleted because its batch was cancelled.
fn deleted_with_batch(job: &JobRecord) -> bool {
    let reason = job.reason.as_deref().unwrap_or_default();
    reason.starts_with("its batch was cancelled by canceller")
}

/// The job stands where its last run or order left it, and its counters are those of its runs.
fn ended_as_it_stands(job: &JobRecord, books: &Books, ends: Option<&BTreeMap<i32, End>>) {
    let verbs = books.verbs.get(&job.id).map_or(&[][..], |verbs| verbs);
    let nothing = BTreeMap::new();
    let ends = ends.unwrap_or(&nothing);
    let last = ends.get(&(job.run - 1)).copied();
    let stands = match job.state {
        State::Succeeded => last == Some(End::Succeeded),
        // If no worker ended it so, a rescuer did; its row is looked for in the history.
        State::Failed => matches!(last, Some(End::Failed) | None),
        State::Deleted => {
            let by_rule = deleted_by_rule(job) || deleted_with_batch(job);
            last.is_none() && (by_rule || verbs.contains(&Verb::Delete))
        }
        _ => !matches!(last, Some(End::Succeeded | End::Failed)),
    };
    assert!(stands, "{job:?} after {ends:?} and {verbs:?}");
    let latest = ends.keys().next_back().copied().unwrap_or(-1);
    assert!(latest < job.run, "run {latest} has ended: {job:?}");
    if !verbs.contains(&Verb::Requeue) {
        let used = |end: &&End| !matches!(end, End::Snoozed | End::Released);
        let attempts = ends.values().filter(used).count() as u32;
        assert_eq!(job.attempt, attempts, "{job:?} after {ends:?}");
    }
}

/// Every run that ended badly has its row, every order its event, and no run has two.
async fn history_agrees(
    storage: &StorageHandle,
    job: &JobRecord,
    ends: &BTreeMap<i32, End>,
    verbs: &[Verb],
) {
    let id = job.id;
    let mut events = storage.events(id).await.expect("events");
    events.retain(|event| event.actor != "canceller");
    assert_eq!(
        events.len(),
        verbs.len(),
        "one event for each order of {id}"
    );
    let rows = storage.attempts(id).await.expect("attempts");
    let (lost, ended): (Vec<_>, Vec<_>) = rows
        .iter()
        .partition(|row| row.outcome == AttemptOutcome::Lost);
    let as_ended = |outcome| match outcome {
        AttemptOutcome::Snoozed => End::Snoozed,
        _ => End::Failed,
    };
    let mut found: Vec<_> = ended
        .iter()
        .map(|row| (row.run, as_ended(row.outcome)))
        .collect();
    found.sort_by_key(|(run, _)| *run);
    let wanted: Vec<_> = ends
        .iter()
        .filter_map(|(&run, &end)| match end {
            End::Retried | End::Failed => Some((run, End::Failed)),
            End::Snoozed => Some((run, End::Snoozed)),
            End::Succeeded | End::Released | End::Deleted => None,
        })
        .collect();
    assert_eq!(found, wanted, "the attempts of {id}");
    for row in &lost {
        assert!(!ends.contains_key(&row.run), "{row:?} ended otherwise too");
    }
    let runs: HashSet<_> = rows.iter().map(|row| row.run).collect();
    assert_eq!(runs.len(), rows.len(), "one row for each run of {id}");
    if !verbs.contains(&Verb::Requeue) {
        assert_eq!(lost.len() as u32, job.lost, "{job:?}");
    }
    let settled = ends.contains_key(&(job.run - 1));
    if job.state == State::Failed && !settled {
        let dead = lost.iter().any(|row| row.run == job.run - 1);
        assert!(dead, "nobody failed {job:?}");
    }
}

/// Takes everything back from everybody.
pub(super) async fn rescue_all(storage: &StorageHandle, ledger: &Ledger) {
    eventually("all workers are dead and hold nothing", async || {
        let presences = storage.presences().await.expect("presences");
        for one in &presences {
            rescue_once(storage, ledger, one.worker, one.beat, 100).await;
        }
        presences.is_empty().then_some(())
    })
    .await;
}

pub(super) async fn nothing_is_held(storage: &StorageHandle, ledger: &Ledger) {
    all_quiet(storage, ledger).await;
    let counts = storage.counts().await.expect("counts");
    assert_eq!(counts.processing, 0, "nobody is left to run it");
}

/// All that waits is to be had, once, and ends.
pub(super) async fn drain(storage: &StorageHandle, ledger: &Ledger) {
    let paused = storage.controls().await.expect("controls").pauses;
    for record in paused {
        resume(storage, record.scope).await;
    }
    storage_lets_all_in(storage).await;
    let waiting = records(storage).await.into_values();
    let waiting = waiting.filter(|job| !job.state.is_final());
    let mut left: HashMap<_, _> = waiting.map(|job| (job.id, job.run)).collect();
    let hand = Hand::hire(storage).await;
    let mut request = hand.request(&[("*", 500)], 500);
    let patience = Patience::new("all jobs that wait are to be had");
    loop {
        storage.tick().await.expect("tick");
        request.claim = ClaimId::new();
        let taken = runs(&request, hand.claim(&request).await);
        ledger.claimed(&taken);
        let settlements: Vec<_> = taken.iter().map(|run| run.ended(succeed())).collect();
        let refused = hand.send(settlements.clone(), vec![request.claim]).await;
        ledger.settled(hand.id, &settlements, &refused);
        assert_eq!(refused, [], "nobody else is there");
        for run in &taken {
            let known = left.remove(&run.id);
            // One that was Awaiting may have become ready under another number.
            let right = known.is_some_and(|known| known <= run.run);
            assert!(right, "{run:?} was waiting, with run {known:?}");
        }
        let counts = storage.counts().await.expect("counts");
        let mut missing = String::new();
        if taken.is_empty() && counts.unfinished() == counts.awaiting {
            // The end of a batch may be a moment late, and make others ready.
            rules::batches_agree(storage, ledger).await;
            match who_is_to_come(storage, left.keys()).await {
                None => break,
                Some(found) => missing = format!("{found:?}"),
            }
        }
        patience.wait_because(&missing).await;
    }
    rules::keys_are_free(&hand, ledger).await;
    let due = storage.next_due(&request).await.expect("next_due");
    assert_eq!(due, None);
    for limit in storage.limits().await.unwrap_or_default() {
        assert_eq!(limit.waiting, 0, "nobody waits for {limit:?}");
        assert!(
            limit.used == 0 || limit.rule.bound.is_rate(),
            "nobody uses {limit:?}"
        );
    }
    storage.retire(hand.id).await.expect("retire");
}

/// One of those that were not to be had so far of whom something is still to come: it was not Deleted by its rules, and does
/// not wait for one that is Failed. What follows from an end may take a second, and make others ready.
async fn who_is_to_come(
    storage: &StorageHandle,
    left: impl Iterator<Item = &JobId>,
) -> Option<JobRecord> {
    for id in left {
        let found = record(storage, *id).await;
        match found.state {
            State::Deleted if deleted_by_rule(&found) || deleted_with_batch(&found) => {}
            State::Awaiting if rules::is_stuck(storage, *id).await => {}
            _ if found.state.is_final() => panic!("it was to be had and never was: {found:?}"),
            _ => return Some(found),
        }
    }
    None
}

/// Limits are as the program declares them again.
async fn storage_lets_all_in(storage: &StorageHandle) {
    let limits = storage.limits().await.unwrap_or_default();
    for limit in limits.iter().filter(|limit| limit.declared.is_some()) {
        let set = storage.set_limit(&limit.rule.name, None, "ada", None).await;
        set.expect("set_limit");
    }
}
