//! What must be true of rules when all is quiet: of those who wait, of keys, batches and limits.

use std::collections::{HashMap, HashSet};

use super::super::stage::{Hand, Patience, batch_record, job, rules, succeed, tally};
use super::actors::KINDS;
use super::audit;
use super::client::{KEYS, LIMIT, MOST};
use super::ledger::{End, Ledger};
use crate::job::{
    BatchId, Condition, JobId, JobRecord, NewJob, OnConflict, Parent, ParentId, State, Unique,
    UniqueUntil,
};
use crate::storage::{StorageHandle, Verb};

/// How many of those who wait are asked for whom, at each quiet moment.
const SAMPLE: usize = 150;

type Records = HashMap<JobId, JobRecord>;

pub(super) async fn agree(storage: &StorageHandle, ledger: &Ledger, records: &Records) {
    who_expired_was_never_started(records);
    keys_are_held_once(records);
    limits_hold(records);
    children_ran_after_their_parents(ledger, records);
    batches_agree(storage, ledger).await;
    keys_are_held(storage, records).await;
    for job in records.values().filter(awaits).take(SAMPLE) {
        waits_for_something(storage, job.id).await;
    }
}

fn who_expired_was_never_started(records: &Records) {
    for job in records.values().filter(|job| job.state == State::Deleted) {
        let reason = job.reason.as_deref().unwrap_or_default();
        let expired = reason.starts_with("was not started within ");
        let started = job.attempt > 0 || job.lost > 0 || job.started_at.is_some();
        assert!(!(expired && started), "it was started: {job:?}");
    }
}

fn awaits(job: &&JobRecord) -> bool {
    job.state == State::Awaiting
}

/// Who waits waits for something that may still come; what follows from an end may take a moment.
async fn waits_for_something(storage: &StorageHandle, id: JobId) {
    let patience = Patience::new("nobody waits in vain");
    while let Err(why) = is_justified(storage, id).await {
        storage.tick().await.expect("tick");
        patience.wait_because(&why).await;
    }
}

async fn is_justified(storage: &StorageHandle, id: JobId) -> Result<(), String> {
    let awaited = storage.awaited(id).await.expect("awaited");
    let found = storage.job(id).await.expect("job").expect("it is stored");
    if found.state != State::Awaiting {
        return Ok(());
    }
    for parent in &awaited {
        if let Some(end) = end_of(storage, parent.of).await
            && parent.on.met_by(end).is_some()
        {
            return Err(format!("{found:?} waits for {parent:?}, which is {end}"));
        }
    }
    if awaited.is_empty() && !is_in_open_batch(storage, &found).await {
        return Err(format!("{found:?} waits for nothing"));
    }
    Ok(())
}

async fn is_in_open_batch(storage: &StorageHandle, job: &JobRecord) -> bool {
    let Some(id) = job.rules.as_ref().and_then(|rules| rules.batch) else {
        return false;
    };
    let batch = storage
        .batch(id)
        .await
        .expect("batch")
        .expect("it is stored");
    batch.sealed_at.is_none()
}

async fn end_of(storage: &StorageHandle, parent: ParentId) -> Option<State> {
    match parent {
        ParentId::Job(id) => {
            let found = storage.job(id).await.expect("job").expect("it is stored");
            Some(found.state).filter(|state| state.is_final())
        }
        ParentId::Batch(id) => {
            let found = storage
                .batch(id)
                .await
                .expect("batch")
                .expect("it is stored");
            found.finished_at.map(|_| found.outcome())
        }
    }
}

/// Who waits although nothing else does: for a parent that is Failed and may be run again.
pub(super) async fn is_stuck(storage: &StorageHandle, id: JobId) -> bool {
    let awaited = storage.awaited(id).await.expect("awaited");
    let mut open = 0;
    for Parent { of, on } in awaited {
        let end = end_of(storage, of).await;
        let blocked = match of {
            // Their own turn will come, or they are stuck themselves.
            ParentId::Job(_) | ParentId::Batch(_) if end.is_none() => true,
            _ => end == Some(State::Failed) && on == Condition::Success,
        };
        open += usize::from(blocked);
    }
    open > 0
}

fn unique(job: &JobRecord) -> Option<&Unique> {
    job.rules.as_ref()?.unique.as_ref()
}

fn holds(job: &&JobRecord) -> bool {
    !job.state.is_final() && unique(job).is_some_and(|it| it.until == UniqueUntil::Done)
}

/// No two jobs that are not final hold the same key.
fn keys_are_held_once(records: &Records) {
    let mut holders = HashMap::new();
    for job in records.values().filter(holds) {
        let key = unique(job).map(|unique| &unique.key);
        let before = holders.insert((&job.kind, key), job.id);
        assert_eq!(before, None, "{} holds the same key: {job:?}", job.id);
    }
}

/// Who should hold a key is who is answered to another that wants it.
async fn keys_are_held(storage: &StorageHandle, records: &Records) {
    for holder in records.values().filter(holds).take(10) {
        let mut probe: NewJob = job("r.a");
        probe.kind = holder.kind.clone().into();
        rules(&mut probe).unique = unique(holder).cloned().map(|unique| Unique {
            on_conflict: OnConflict::Skip,
            ..unique
        });
        let answer = storage.insert(&[probe]).await.expect("insert")[0];
        assert_eq!(
            (answer.id, answer.existing),
            (holder.id, true),
            "{holder:?}"
        );
    }
}

/// When all that waits has run, each key that nobody holds any more is to be had.
pub(super) async fn keys_are_free(hand: &Hand, ledger: &Ledger) {
    let storage = &hand.storage;
    let records = audit::records(storage).await;
    let waiting = |job: &&JobRecord| !job.state.is_final() && unique(job).is_some();
    let held: HashSet<_> = records
        .values()
        .filter(waiting)
        .map(|job| (job.kind.clone(), unique(job).map(|it| it.key.clone())))
        .collect();
    for kind in KINDS {
        for key in KEYS {
            if held.contains(&(kind.to_owned(), Some(key.to_owned()))) {
                continue;
            }
            let mut probe: NewJob = job("r.probe");
            probe.kind = kind.into();
            rules(&mut probe).unique = Some(Unique {
                key: key.into(),
                until: UniqueUntil::Done,
                on_conflict: OnConflict::Skip,
            });
            let answer = storage.insert(&[probe]).await.expect("insert")[0];
            assert!(!answer.existing, "{key} of {kind} is held by {}", answer.id);
            ledger.stored(&[answer.id], 0);
            let run = hand.take_one("r.probe").await;
            ledger.claimed(std::slice::from_ref(&run));
            let end = vec![run.ended(succeed())];
            let refused = hand.send(end.clone(), vec![run.claim]).await;
            ledger.settled(hand.id, &end, &refused);
        }
    }
}

/// No more run than limits allow.
fn limits_hold(records: &Records) {
    let mut running: HashMap<&str, u32> = HashMap::new();
    for job in records
        .values()
        .filter(|job| job.state == State::Processing)
    {
        let limits = job.rules.iter().flat_map(|rules| &rules.limits);
        for limit in limits.filter(|limit| limit.rule.name == LIMIT) {
            *running.entry(&limit.key).or_default() += limit.weight.min(MOST);
        }
    }
    assert!(running.values().all(|n| *n <= MOST), "{running:?}");
}

/// Who ran and was to run after the success of others ran after that, unless an operator had it run.
fn children_ran_after_their_parents(ledger: &Ledger, records: &Records) {
    let books = ledger.books();
    let ran: HashSet<JobId> = books.claimed.keys().map(|(id, _)| *id).collect();
    let ended_well = |(key, settled): (&(JobId, i32), &super::ledger::Settled)| {
        (settled.end == End::Succeeded).then_some(key.0)
    };
    let succeeded: HashSet<JobId> = books.settled.iter().filter_map(ended_well).collect();
    for child in records.values().filter(|job| ran.contains(&job.id)) {
        let verbs = books.verbs.get(&child.id).map_or(&[][..], |verbs| verbs);
        if verbs.contains(&Verb::RunNow) || verbs.contains(&Verb::Requeue) {
            continue;
        }
        for parent in child.rules.iter().flat_map(|rules| &rules.parents) {
            if let (ParentId::Job(id), Condition::Success) = (parent.of, parent.on) {
                assert!(succeeded.contains(&id), "it ran before {id}: {child:?}");
            }
        }
    }
}

/// The counts of each batch are those of its members, and it has ended if all of them have.
/// What expires meanwhile is seen at the next look.
pub(super) async fn batches_agree(storage: &StorageHandle, ledger: &Ledger) {
    let batches: Vec<BatchId> = ledger.books().batches.clone();
    if batches.is_empty() {
        return;
    }
    let patience = Patience::new("batches count their members");
    'again: loop {
        let mut members: HashMap<BatchId, Vec<State>> = HashMap::new();
        for job in audit::records(storage).await.into_values() {
            if let Some(batch) = job.rules.as_ref().and_then(|rules| rules.batch) {
                members.entry(batch).or_default().push(job.state);
            }
        }
        let mut all = Vec::new();
        for &id in &batches {
            all.push(batch_record(storage, id).await);
        }
        let mut within: HashMap<BatchId, Vec<State>> = HashMap::new();
        for batch in &all {
            let end = match batch.finished_at {
                Some(_) => batch.outcome(),
                None => State::Awaiting,
            };
            if let Some(around) = batch.parent {
                within.entry(around).or_default().push(end);
            }
        }
        for batch in &all {
            let jobs = members.get(&batch.id).into_iter().flatten();
            let inner = within.get(&batch.id).into_iter().flatten();
            let states: Vec<_> = jobs.chain(inner).copied().collect();
            let count = |wanted| states.iter().filter(|state| **state == wanted).count() as u64;
            let [ok, failed, gone] = [State::Succeeded, State::Failed, State::Deleted].map(count);
            let total = states.len() as u64;
            let pending = total - ok - failed - gone;
            let closed = batch.sealed_at.is_some() || batch.cancelled_at.is_some();
            let right = tally(batch) == [total, pending, ok, failed, gone]
                && batch.finished_at.is_some() == (closed && pending == 0);
            if !right {
                // What is counted may lag by a moment; then it is right.
                let why = format!("{batch:?} of {states:?}");
                patience.wait_because(&why).await;
                continue 'again;
            }
        }
        return;
    }
}
