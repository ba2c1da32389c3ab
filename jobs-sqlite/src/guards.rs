//! Each guard in the statements is there for a reason: with it taken out, a test of the conformance suite
//! must fail.

use std::sync::Arc;
use std::time::Duration;

use jobs_core::job::{ClaimId, JobId, NewJob, QueuePattern, WorkerId};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{
    Beat, ClaimRequest, ClaimedJob, Flush, QueueShare, RescueRequest, Settlement, StorageHandle,
    WorkerInfo,
};
use jobs_core::testing::conformance::{self, batch, beat, command, fence, parents, rescue};

use crate::SqliteStorage;
use crate::queries::Queries;

/// A folder that is removed in the end.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A storage of which one statement says something else.
async fn with(name: &str, old: &str, new: &str) -> (SqliteStorage, Folder) {
    let name_of_folder = format!("jobs-sqlite-guards-{}", uuid::Uuid::new_v4());
    let folder = Folder(std::env::temp_dir().join(name_of_folder));
    std::fs::create_dir(&folder.0).expect("a folder for the test");
    let builder = SqliteStorage::builder().path(folder.0.join("jobs.db"));
    let opened = builder.open_with(|prefix| {
        let mut queries = Queries::new(prefix);
        queries.replace(name, old, new);
        queries
    });
    let storage = opened.await.expect("the file opens");
    let changed = storage
        .0
        .queries
        .all()
        .into_iter()
        .find(|(n, _)| *n == name);
    let (_, changed) = changed.expect("the statement is there");
    let explain = sqlx::AssertSqlSafe(format!("explain {}", changed.text()));
    let explained = sqlx::query(explain).execute(storage.pool()).await;
    explained.expect("what is left is a statement");
    (storage, folder)
}

/// Whether a test notices the change. The panics of those that do are part of the output.
fn is_missed(
    (name, old, new): (&'static str, &'static str, &'static str),
    test: impl AsyncFnOnce(StorageHandle) + Send + 'static,
) -> bool {
    // That the statement can be run at all must not be what is noticed.
    conformance::run(with(name, old, new), async |_| {});
    let run = move || conformance::run(with(name, old, new), test);
    std::thread::spawn(run).join().is_err()
}

macro_rules! guards {
    ($($test:ident: $statement:literal, $old:literal => $new:literal, missed by $($by:ident)::+;)*) => {
        $(
            #[test]
            fn $test() {
                let missed = is_missed(($statement, $old, $new), $($by)::+);
                assert!(missed, "{} without {:?} passes", $statement, $old);
            }
        )*
    };
}

guards! {
    the_fence_looks_at_the_run: "settle_fence", "j.run = x.run and" => "true and",
        missed by an_outcome_of_an_earlier_run_is_refused;
    the_fence_looks_at_the_worker: "settle_fence", "and c.worker = ?2" => "",
        missed by fence::an_outcome_of_another_worker_is_refused;
    the_fence_looks_at_the_claim: "settle_fence", "c.id = x.claim and" => "",
        missed by fence::an_outcome_without_claim_is_refused;
    the_fence_tells_a_settlement_from_a_rescue: "settle_fence", "and j.settled as mine" => "as mine",
        missed by fence::a_run_taken_away_is_not_already_settled;
    a_settlement_ends_the_run: "settle", "run = jobs_job.run + 1" => "run = jobs_job.run",
        missed by fence::an_outcome_sent_twice_counts_once;
    a_rescue_ends_the_run: "rescue", "run = jobs_job.run + 1" => "run = jobs_job.run",
        missed by rescue::a_late_outcome_is_refused;
    a_rescue_takes_only_what_is_held: "rescue_pick", "and j.run = x.value ->> 1" => "",
        missed by what_others_hold_is_not_rescued;
    a_rescue_needs_a_beat_that_stands_still: "bury", "and beat = ?2" => "and ?2 is not null",
        missed by rescue::a_worker_that_beats_is_left_alone;
    the_dead_do_not_beat: "beat", "and dead_at is null" => "",
        missed by beat::the_dead_hear_of_it;
    giving_back_ends_the_run: "release", "run = jobs_job.run + 1" => "run = jobs_job.run",
        missed by a_run_that_was_given_back_is_over;
    giving_back_takes_only_what_is_held: "release", "and jobs_job.run = held.run" => "",
        missed by what_others_hold_is_not_given_back;
    a_claim_that_holds_something_stays: "claim_close", "and not exists (" => "and 2 is not (",
        missed by closing_too_early_loses_nothing;
    a_verb_ends_the_run: "command", "run = jobs_job.run + 1" => "run = jobs_job.run",
        missed by command::a_requeued_job_starts_anew;
    a_child_waits_for_all_its_parents: "ready", "and pending = 0" => "",
        missed by parents::a_whole_graph_runs_in_order;
    a_batch_waits_for_all_its_members: "batch_end", "and total = succeeded + failed + deleted" => "",
        missed by batch::what_waits_for_a_batch_runs_after_the_last;
    a_verb_takes_the_ticket_away: "untie", "where (queue" => "where false and (queue",
        missed by command::a_job_that_was_moved_about_is_there_once;
}

async fn hire(storage: &StorageHandle) -> WorkerId {
    let worker = WorkerId::new();
    let known = storage.register(&WorkerInfo::new(worker)).await;
    known.expect("register");
    worker
}

async fn store(storage: &StorageHandle, jobs: usize) {
    let job = |_| NewJob::new(JobId::new(), "noop", "{}");
    let jobs: Vec<NewJob> = (0..jobs).map(job).collect();
    storage.insert(&jobs).await.expect("insert");
}

async fn take(
    storage: &StorageHandle,
    worker: WorkerId,
    limit: usize,
) -> (ClaimId, Vec<ClaimedJob>) {
    let request = ClaimRequest {
        worker,
        claim: ClaimId::new(),
        queues: vec![QueueShare {
            queues: QueuePattern::all(),
            limit,
        }],
        limit,
        unknown_kinds: Arc::from([]),
    };
    let claimed = storage.claim(&request).await.expect("claim");
    assert_eq!(claimed.jobs.len(), limit);
    (request.claim, claimed.jobs)
}

/// Gives one job of a claim back.
fn released(worker: WorkerId, claim: ClaimId, job: &ClaimedJob) -> Flush {
    let settlement = Settlement {
        job: job.id,
        run: job.run,
        claim,
        kind: Arc::clone(&job.kind),
        queue: Arc::clone(&job.queue),
        attempt: job.attempt,
        ran_for: None,
        ended_ago: Duration::ZERO,
        transition: Transition::Release {
            reason: "not wanted".into(),
        },
    };
    Flush {
        worker,
        settlements: vec![settlement],
        closed: Vec::new(),
    }
}

/// Of two jobs of a claim one was given back and is another's; when the claim is given up, it stays so.
async fn what_others_hold_is_not_given_back(storage: StorageHandle) {
    let (worker, other) = (hire(&storage).await, hire(&storage).await);
    store(&storage, 2).await;
    let (claim, jobs) = take(&storage, worker, 2).await;
    let flush = released(worker, claim, &jobs[0]);
    assert_eq!(storage.settle(&flush).await.expect("settle"), []);
    let (theirs, held) = take(&storage, other, 1).await;
    let beat = Beat {
        worker,
        claims: Vec::new(),
        newest: Some(claim),
    };
    assert!(storage.beat(&beat).await.expect("beat").alive);
    let flush = released(other, theirs, &held[0]);
    assert_eq!(storage.settle(&flush).await.expect("settle"), []);
    assert_eq!(storage.counts().await.expect("counts").enqueued, 2);
}

/// A job was given back and taken again by the same worker, which still has the first claim; then the first
/// outcome comes once more.
async fn an_outcome_of_an_earlier_run_is_refused(storage: StorageHandle) {
    let worker = hire(&storage).await;
    store(&storage, 1).await;
    let (claim, jobs) = take(&storage, worker, 1).await;
    let first = released(worker, claim, &jobs[0]);
    assert_eq!(storage.settle(&first).await.expect("settle"), []);
    let (again, jobs) = take(&storage, worker, 1).await;
    assert_eq!(storage.settle(&first).await.expect("settle").len(), 1);
    let second = released(worker, again, &jobs[0]);
    assert_eq!(storage.settle(&second).await.expect("settle"), []);
}

/// A worker gave a job back, which another has taken, and died with its claim open.
async fn what_others_hold_is_not_rescued(storage: StorageHandle) {
    let (dead, other) = (hire(&storage).await, hire(&storage).await);
    store(&storage, 1).await;
    let (claim, jobs) = take(&storage, dead, 1).await;
    let flush = released(dead, claim, &jobs[0]);
    assert_eq!(storage.settle(&flush).await.expect("settle"), []);
    let (theirs, held) = take(&storage, other, 1).await;
    let request = RescueRequest {
        worker: dead,
        beat: 0,
        lost_limit: 3,
        lost_reason: "it kills",
        limit: 10,
    };
    let rescued = storage.rescue(&request).await.expect("rescue");
    assert_eq!((rescued.released, rescued.failed), (0, 0));
    let flush = released(other, theirs, &held[0]);
    assert_eq!(storage.settle(&flush).await.expect("settle"), []);
}

/// A worker that did not hear of its claim runs nothing of it when it hears late.
async fn a_run_that_was_given_back_is_over(storage: StorageHandle) {
    let worker = hire(&storage).await;
    store(&storage, 1).await;
    let (claim, jobs) = take(&storage, worker, 1).await;
    let beat = Beat {
        worker,
        claims: Vec::new(),
        newest: Some(claim),
    };
    assert!(storage.beat(&beat).await.expect("beat").alive);
    let run = (jobs[0].id, jobs[0].run);
    let over = storage.revoked(&[run]).await.expect("revoked");
    assert_eq!(over, [jobs[0].id]);
}

/// A worker that closes a claim by mistake does not lose its jobs.
async fn closing_too_early_loses_nothing(storage: StorageHandle) {
    let worker = hire(&storage).await;
    store(&storage, 1).await;
    let (claim, _) = take(&storage, worker, 1).await;
    let flush = Flush {
        worker,
        settlements: Vec::new(),
        closed: vec![claim],
    };
    storage.settle(&flush).await.expect("settle");
    storage.retire(worker).await.expect("retire");
    assert_eq!(storage.counts().await.expect("counts").enqueued, 1);
}

#[test]
fn with_every_guard_in_its_place_nothing_is_lost() {
    let unchanged = || with("release", "held", "held");
    conformance::run(unchanged(), closing_too_early_loses_nothing);
    conformance::run(unchanged(), what_others_hold_is_not_given_back);
    conformance::run(unchanged(), an_outcome_of_an_earlier_run_is_refused);
    conformance::run(unchanged(), what_others_hold_is_not_rescued);
    conformance::run(unchanged(), a_run_that_was_given_back_is_over);
}
