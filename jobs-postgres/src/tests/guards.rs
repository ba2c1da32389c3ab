//! Each guard in the functions of the database is there for a reason: with it taken out, a test must fail. These rest
//! on no luck: where two sessions are needed, one of them stands still in an open transaction meanwhile.
//! (Longer than 400 lines: a scene for each.)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jobs_core::job::{
    BatchId, ClaimId, Condition, LimitRule, NewJob, Parent, ParentId, Rules, WorkerId,
};
use jobs_core::lifecycle::{LOST_LIMIT, LOST_REASON, Transition};
use jobs_core::storage::{
    ClaimedJob, Command, ControlVerb, Flush, Inspect, NewBatch, Refused, RescueRequest, Scope,
    Start, Storage, StorageHandle, Verb, Within,
};
use jobs_core::testing::conformance::{command, fence, limits, members, rescue, unique};
use sqlx::{Executor, PgConnection, Row};

use super::invariants::{When, hold, watch};
use super::{Home, PATIENCE, claim, flush, new_job, settlement, success, test, worker};
use crate::PgStorage;

/// Part of a function, and what is left when the guard in it is taken out.
#[derive(Clone, Copy)]
pub(crate) struct Guard {
    function: &'static str,
    old: &'static str,
    new: &'static str,
}

/// Takes a guard out, wherever it stands in its function.
pub(crate) async fn take_out(home: &Home, guard: Guard) {
    let mut connection = home.connection().await;
    let look = "select pg_get_functiondef(p.oid) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                 where n.nspname = $1 and p.proname = $2";
    let look = sqlx::query(look).bind(&home.schema).bind(guard.function);
    let found = look.fetch_one(&mut connection).await.unwrap();
    let before: String = found.get(0);
    let [old, new] = [guard.old, guard.new].map(|text| home.text(text));
    let changed = before.replace(&*old, &new);
    assert_ne!(before, changed, "{}: no {old:?}", guard.function);
    let change = sqlx::raw_sql(sqlx::AssertSqlSafe(changed));
    change.execute(&mut connection).await.unwrap();
}

/// Whether a test notices that a guard is gone. The panic of one that does is part of the output.
fn is_missed<F, T>(guard: Guard, scene: F) -> bool
where
    F: FnOnce(Arc<Home>, PgStorage) -> T + Send + 'static,
    T: Future<Output = ()>,
{
    // That it can be taken out must not be what is noticed.
    let is_out = Arc::new(AtomicBool::new(false));
    let out = Arc::clone(&is_out);
    let run = move || {
        test(|home| async move {
            let storage = home.storage().await;
            watch(&home).await;
            take_out(&home, guard).await;
            out.store(true, Ordering::Relaxed);
            scene(home, storage).await;
        });
    };
    let noticed = std::thread::spawn(run).join().is_err();
    assert!(is_out.load(Ordering::Relaxed), "it is there still");
    noticed
}

macro_rules! guards {
    ($($test:ident: $function:literal, $old:literal => $new:literal, missed by $($by:ident)::+;)*) => {
        /// The guard of this name.
        pub(crate) fn named(name: &str) -> Guard {
            match name {
                $(stringify!($test) => Guard { function: $function, old: $old, new: $new },)*
                _ => panic!("{name} is no guard"),
            }
        }

        $(
            #[test]
            fn $test() {
                test(|home| async move {
                    let storage = home.storage().await;
                    watch(&home).await;
                    $($by)::+(home, storage).await;
                });
                let missed = is_missed(named(stringify!($test)), $($by)::+);
                assert!(missed, "{} without {:?} passes", $function, $old);
            }
        )*
    };
}

guards! {
    a_success_looks_at_the_run: "settle_success", "j.run = x.run" => "true",
        missed by a_success_of_an_earlier_run_is_refused;
    an_outcome_looks_at_the_run: "settle", "j.run = x.run" => "true",
        missed by a_failure_of_an_earlier_run_is_refused;
    an_outcome_looks_at_the_claim: "settle", "and x.claim = any (v_alive)" => "",
        missed by suite::an_outcome_without_claim;
    a_success_looks_at_the_worker: "settle_success", "c.worker = p_worker and c.id = any (p_claims)" => "c.id = any (p_claims)",
        missed by suite::an_outcome_of_another_worker;
    an_outcome_ends_the_run: "settle", "run = j.run + 1" => "run = j.run",
        missed by a_release_ends_the_run;
    a_completion_looks_at_the_run: "complete", "and j.run = p_run" => "",
        missed by a_completion_of_an_earlier_run_is_refused;
    a_rescue_ends_the_run: "give_back", "run = j.run + 1" => "run = j.run",
        missed by suite::a_late_outcome;
    a_rescue_takes_only_what_is_held: "give_back", "and j.run = x.run" => "",
        missed by what_others_hold_is_not_rescued;
    a_rescue_needs_a_beat_that_stands_still: "rescue", "and beat = p_beat" => "",
        missed by suite::a_worker_that_beats;
    the_dead_get_nothing: "claim", "and w.dead_at is null" => "",
        missed by the_dead_claim_nothing;
    a_verb_ends_the_run: "command", "run = b.run + 1" => "run = b.run",
        missed by what_was_requeued_is_anothers;
    a_verb_takes_the_ticket_away: "command", "and t.job_id = j.id and t.run = j.run" => "and false",
        missed by suite::a_job_that_was_moved_about;
    a_claim_that_holds_something_stays: "close", "where j.id = any (k.job_ids)" => "where false and j.id = any (k.job_ids)",
        missed by closing_too_early_loses_nothing;
    a_parent_does_not_end_unseen: "insert_with_rules", "order by j.id for share" => "order by j.id",
        missed by a_child_is_stored_while_its_parent_ends;
    parents_are_counted: "resolve", "pending = j.pending - n.n" => "pending = j.pending - 1",
        missed by two_parents_end_in_one_flush;
    a_locked_child_is_noted: "resolve", "where (select true from jobs.dependency d where d.parent = s.id and jobs.verdict(d.condition, s.side) <> 0 limit 1);" => "where false;",
        missed by a_child_is_locked_when_its_parent_ends;
    a_batch_is_not_sealed_unseen: "resolve", "for share skip locked" => "",
        missed by a_batch_is_sealed_while_a_parent_ends;
    a_batch_takes_members_before_it_ends: "insert_with_rules", "where b.id = any (v_batches) order by b.id for share" => "where b.id = any (v_batches) order by b.id",
        missed by a_member_is_added_while_the_last_one_ends;
    a_batch_is_added_up_by_one: "fold_batch", "for update skip locked" => "",
        missed by two_add_up_a_batch;
    a_failed_member_counts_once: "let_go", "- case when p_was = 3 then count(*) else 0 end" => "",
        missed by suite::a_failed_member_may_be_deleted;
    one_lets_in_at_a_time: "admit", "not pg_try_advisory_xact_lock(hashtext('jobs:jobs'), 3)" => "false",
        missed by two_let_in_at_once;
    a_limit_that_is_gone_holds_nobody: "admit", "jobs.unlimit(j.name)" => "jobs.unlimit('')",
        missed by a_limit_is_taken_away_while_a_job_is_stored;
    who_gets_in_line_is_somewhere: "line_up", "left join lateral" => "join lateral",
        missed by a_limit_is_taken_away_while_a_job_gets_in_line;
    time_makes_no_room_where_all_is_held: "room_in", "when h.held < p_burst" => "when true",
        missed by nobody_looks_again_for_what_time_does_not_bring;
    nobody_looks_again_for_nothing: "admit", "case when v_room is not null then greatest(v_room, 0) end" => "greatest(v_room, 0)",
        missed by nobody_looks_again_for_what_time_does_not_bring;
    a_run_that_ends_makes_room: "let_go", "perform jobs.end_permits(p_jobs, p_ran);" => "",
        missed by suite::every_end_of_a_run_makes_room;
    only_the_owner_starts: "start", "and j.run = p_run" => "",
        missed by a_start_of_an_earlier_run_is_refused;
    a_period_outlives_its_job: "let_go", "and u.until <> 2" => "",
        missed by suite::a_key_may_be_held_for_a_period;
    a_requeued_job_takes_its_key: "command", "if j.rules -> 'unique' is not null then" => "if false then",
        missed by suite::a_requeued_job_takes_its_key_again;
    a_key_is_held_by_one: "insert_with_rules", "exit when told.job_id = u.id;" => "exit when true;",
        missed by suite::a_key_is_held_by_one;
}

/// Tests of the conformance suite, and then the tables.
mod suite {
    use super::*;

    macro_rules! tests {
        ($($name:ident: $($test:ident)::+;)*) => {
            $(
                pub(super) async fn $name(home: Arc<Home>, storage: PgStorage) {
                    $($test)::+(StorageHandle::new(storage)).await;
                    hold(&home, When::Always).await;
                }
            )*
        };
    }

    tests! {
        an_outcome_without_claim: fence::an_outcome_without_claim_is_refused;
        an_outcome_of_another_worker: fence::an_outcome_of_another_worker_is_refused;
        a_late_outcome: rescue::a_late_outcome_is_refused;
        a_worker_that_beats: rescue::a_worker_that_beats_is_left_alone;
        a_job_that_was_moved_about: command::a_job_that_was_moved_about_is_there_once;
        a_failed_member_may_be_deleted: members::a_failed_member_may_be_deleted;
        every_end_of_a_run_makes_room: limits::every_end_of_a_run_makes_room;
        a_key_may_be_held_for_a_period: unique::a_key_may_be_held_for_a_period;
        a_requeued_job_takes_its_key_again: unique::a_requeued_job_takes_its_key_again;
        a_key_is_held_by_one: unique::a_key_is_held_by_one;
    }
}

/// A worker with a claim of some jobs that were just stored.
async fn held(storage: &PgStorage, jobs: usize) -> (WorkerId, ClaimId, Vec<ClaimedJob>) {
    let me = worker(storage).await;
    let new: Vec<NewJob> = (0..jobs).map(|_| new_job()).collect();
    storage.insert(&new).await.unwrap();
    let (id, claimed) = claim(storage, me, jobs).await;
    assert_eq!(claimed.jobs.len(), jobs);
    (me, id, claimed.jobs)
}

async fn end(
    storage: &PgStorage,
    worker: WorkerId,
    claim: ClaimId,
    job: &ClaimedJob,
    how: Transition,
) -> Vec<Refused> {
    let flush = Flush {
        worker,
        settlements: vec![settlement(job, claim, how)],
        closed: Vec::new(),
    };
    storage.settle(&flush).await.unwrap()
}

fn release() -> Transition {
    Transition::Release {
        reason: "not wanted".into(),
    }
}

fn delete() -> Transition {
    Transition::Delete {
        reason: "not wanted".into(),
    }
}

/// One of two jobs of a claim is given back and taken again by the same worker, which has the first claim still.
async fn taken_again(storage: &PgStorage) -> (WorkerId, ClaimId, ClaimedJob) {
    let (me, first, jobs) = held(storage, 2).await;
    assert_eq!(end(storage, me, first, &jobs[0], release()).await, []);
    let (_, again) = claim(storage, me, 5).await;
    assert_eq!(again.jobs.len(), 1);
    (me, first, jobs[0].clone())
}

async fn a_success_of_an_earlier_run_is_refused(home: Arc<Home>, storage: PgStorage) {
    let (me, first, job) = taken_again(&storage).await;
    assert_eq!(end(&storage, me, first, &job, success()).await.len(), 1);
    hold(&home, When::Settled).await;
}

async fn a_failure_of_an_earlier_run_is_refused(home: Arc<Home>, storage: PgStorage) {
    let (me, first, job) = taken_again(&storage).await;
    assert_eq!(end(&storage, me, first, &job, delete()).await.len(), 1);
    hold(&home, When::Settled).await;
}

async fn a_release_ends_the_run(home: Arc<Home>, storage: PgStorage) {
    let (me, first, jobs) = held(&storage, 2).await;
    for refused in [0, 1] {
        let answer = end(&storage, me, first, &jobs[0], release()).await;
        assert_eq!(answer.len(), refused);
        hold(&home, When::Settled).await;
    }
}

async fn a_completion_of_an_earlier_run_is_refused(home: Arc<Home>, storage: PgStorage) {
    let (me, first, job) = taken_again(&storage).await;
    let mut connection = home.connection().await;
    let run = settlement(&job, first, success());
    let answer = connection.complete(&storage, me, &run).await;
    assert!(answer.is_err());
    hold(&home, When::Settled).await;
}

/// A worker gave a job back, which another has taken, and died with its claim open.
async fn what_others_hold_is_not_rescued(home: Arc<Home>, storage: PgStorage) {
    let (dead, first, jobs) = held(&storage, 2).await;
    assert_eq!(end(&storage, dead, first, &jobs[0], release()).await, []);
    let other = worker(&storage).await;
    let (_, theirs) = claim(&storage, other, 5).await;
    assert_eq!(theirs.jobs.len(), 1);
    assert_eq!(rescued(&storage, dead).await, 1);
    hold(&home, When::Always).await;
}

async fn rescued(storage: &PgStorage, worker: WorkerId) -> u64 {
    let request = RescueRequest {
        worker,
        beat: 0,
        lost_limit: LOST_LIMIT,
        lost_reason: LOST_REASON,
        limit: 100,
    };
    storage.rescue(&request).await.unwrap().released
}

async fn the_dead_claim_nothing(_: Arc<Home>, storage: PgStorage) {
    let (dead, _, _) = held(&storage, 1).await;
    assert_eq!(rescued(&storage, dead).await, 1);
    assert_eq!(claim(&storage, dead, 5).await.1.jobs.len(), 0);
}

/// A job that runs is deleted and put back: its first run is over.
async fn what_was_requeued_is_anothers(home: Arc<Home>, storage: PgStorage) {
    let (me, first, jobs) = held(&storage, 1).await;
    for verb in [Verb::Delete, Verb::Requeue] {
        order(&storage, verb, &jobs[0]).await;
    }
    assert_eq!(end(&storage, me, first, &jobs[0], success()).await.len(), 1);
    hold(&home, When::Settled).await;
}

async fn order(storage: &PgStorage, verb: Verb, job: &ClaimedJob) {
    let command = Command {
        verb,
        jobs: vec![job.id],
        actor: "ada".into(),
        reason: None,
    };
    storage.command(&command).await.unwrap();
}

/// A worker closes a claim by mistake.
async fn closing_too_early_loses_nothing(home: Arc<Home>, storage: PgStorage) {
    let (me, first, _) = held(&storage, 1).await;
    storage.settle(&flush(me, first, &[], true)).await.unwrap();
    hold(&home, When::Settled).await;
}

/// A session that has begun a transaction.
async fn session(home: &Home) -> PgConnection {
    let mut connection = home.connection().await;
    connection.execute("begin").await.unwrap();
    connection
}

/// The same in a session of its own, which may have to wait for another.
fn run_beside(home: &Arc<Home>, sql: String) -> tokio::task::JoinHandle<()> {
    let home = Arc::clone(home);
    tokio::spawn(async move {
        let mut connection = home.connection().await;
        home.run(&mut connection, &sql).await;
    })
}

/// Until what somebody else does, these statements, has come to where it waits, or to its end.
async fn waits_or_ends(home: &Home, sql: &str, of: &tokio::task::JoinHandle<()>) {
    let waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query = $1)";
    let mut connection = home.connection().await;
    let end = Instant::now() + PATIENCE;
    while !of.is_finished() {
        let waits = sqlx::query_scalar::<_, bool>(waits).bind(home.text(sql).to_string());
        if waits.fetch_one(&mut connection).await.unwrap() {
            return;
        }
        assert!(Instant::now() < end, "it neither waits nor ends: {sql}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn rules(new: &mut NewJob) -> &mut Rules {
    new.rules.get_or_insert_default()
}

fn child(of: &[ParentId]) -> NewJob {
    let mut child = new_job();
    let on = Condition::Success;
    rules(&mut child).parents = of.iter().map(|&of| Parent { of, on }).collect();
    child
}

fn member(of: BatchId) -> NewJob {
    let mut member = new_job();
    rules(&mut member).batch = Some(of);
    member
}

/// Sends a success until nobody is in its way.
async fn succeed(storage: &PgStorage, worker: WorkerId, claim: ClaimId, job: &ClaimedJob) {
    while !end(storage, worker, claim, job, success()).await.is_empty() {}
}

/// Nothing is left for later, and nothing is wrong. The storage may be at it by itself meanwhile, and have noted again what it could
/// not do yet.
async fn settled(home: &Home, storage: &PgStorage) {
    let left = "select exists (select from jobs.todo) or exists (select from jobs.batch_delta)";
    let mut connection = home.connection().await;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        storage.tick().await.unwrap();
        let left = sqlx::query_scalar::<_, bool>(home.sql(left)).fetch_one(&mut connection);
        if !left.await.unwrap() {
            break;
        }
    }
    hold(home, When::Settled).await;
}

/// What was left for later is done, and these and no others are to be had.
async fn to_be_had(home: &Home, storage: &PgStorage, wanted: &[&NewJob]) {
    settled(home, storage).await;
    let me = worker(storage).await;
    let (_, claimed) = claim(storage, me, 10).await;
    let mut found: Vec<_> = claimed.jobs.iter().map(|job| job.id).collect();
    let mut wanted: Vec<_> = wanted.iter().map(|job| job.id).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

async fn a_child_is_stored_while_its_parent_ends(home: Arc<Home>, storage: PgStorage) {
    let (me, first, jobs) = held(&storage, 1).await;
    let child = child(&[ParentId::Job(jobs[0].id)]);
    let mut session = session(&home).await;
    let new = std::slice::from_ref(&child);
    session.insert(&storage, new).await.unwrap();
    let in_the_way = end(&storage, me, first, &jobs[0], success()).await;
    session.execute("commit").await.unwrap();
    if !in_the_way.is_empty() {
        succeed(&storage, me, first, &jobs[0]).await;
    }
    to_be_had(&home, &storage, &[&child]).await;
}

async fn two_parents_end_in_one_flush(home: Arc<Home>, storage: PgStorage) {
    let (me, first, jobs) = held(&storage, 2).await;
    let child = child(&[ParentId::Job(jobs[0].id), ParentId::Job(jobs[1].id)]);
    storage.insert(std::slice::from_ref(&child)).await.unwrap();
    let both = flush(me, first, &jobs, true);
    assert_eq!(storage.settle(&both).await.unwrap(), []);
    to_be_had(&home, &storage, &[&child]).await;
}

async fn a_child_is_locked_when_its_parent_ends(home: Arc<Home>, storage: PgStorage) {
    let (me, first, jobs) = held(&storage, 1).await;
    let child = child(&[ParentId::Job(jobs[0].id)]);
    storage.insert(std::slice::from_ref(&child)).await.unwrap();
    let mut session = session(&home).await;
    let lock = format!(
        "select from jobs.job where id = '{}' for no key update",
        child.id
    );
    home.run(&mut session, &lock).await;
    succeed(&storage, me, first, &jobs[0]).await;
    session.execute("rollback").await.unwrap();
    to_be_had(&home, &storage, &[&child]).await;
}

async fn a_batch_is_sealed_while_a_parent_ends(home: Arc<Home>, storage: PgStorage) {
    let (me, first, jobs) = held(&storage, 1).await;
    let batch = BatchId::new();
    let mut waits = child(&[ParentId::Job(jobs[0].id)]);
    rules(&mut waits).batch = Some(batch);
    let mut new = NewBatch::new(batch);
    new.sealed = false;
    let members = std::slice::from_ref(&waits);
    storage.create_batch(&new, members).await.unwrap();
    let mut session = session(&home).await;
    let seal = format!("select jobs.seal_batch('{batch}')");
    home.run(&mut session, &seal).await;
    succeed(&storage, me, first, &jobs[0]).await;
    session.execute("commit").await.unwrap();
    to_be_had(&home, &storage, &[&waits]).await;
}

async fn a_member_is_added_while_the_last_one_ends(home: Arc<Home>, storage: PgStorage) {
    let batch = BatchId::new();
    let (one, two) = (member(batch), member(batch));
    let after = child(&[ParentId::Batch(batch)]);
    let new = NewBatch::new(batch);
    let stored = storage.create_batch(&new, &[one, after]).await;
    stored.unwrap();
    let me = worker(&storage).await;
    let (first, jobs) = claim(&storage, me, 5).await;
    assert_eq!(jobs.jobs.len(), 1);
    let mut session = session(&home).await;
    let added = std::slice::from_ref(&two);
    session.insert(&storage, added).await.unwrap();
    succeed(&storage, me, first, &jobs.jobs[0]).await;
    storage.tick().await.unwrap();
    session.execute("commit").await.unwrap();
    to_be_had(&home, &storage, &[&two]).await;
}

async fn two_add_up_a_batch(home: Arc<Home>, storage: PgStorage) {
    let batch = BatchId::new();
    let members: Vec<_> = (0..3).map(|_| member(batch)).collect();
    let new = NewBatch::new(batch);
    storage.create_batch(&new, &members).await.unwrap();
    let me = worker(&storage).await;
    let (first, jobs) = claim(&storage, me, 5).await;
    // By hand: the storage would add it up at once.
    let settle = |job: &ClaimedJob| {
        format!(
            "select jobs.settle_success('{me}', '{{{first}}}', '{{}}', '{0}', '{0}', '{{{0}}}', '{{0}}', '{{0}}', '{{0}}', '{{}}')",
            job.id
        )
    };
    let mut plain = home.connection().await;
    home.run(&mut plain, &settle(&jobs.jobs[0])).await;
    let mut session = session(&home).await;
    let fold = format!("select jobs.fold_batch('{batch}')");
    home.run(&mut session, &fold).await;
    home.run(&mut plain, &settle(&jobs.jobs[1])).await;
    let other = run_beside(&home, fold.clone());
    waits_or_ends(&home, &fold, &other).await;
    session.execute("commit").await.unwrap();
    other.await.unwrap();
    settled(&home, &storage).await;
    let record = storage.batch(batch).await.unwrap().unwrap();
    assert_eq!(record.succeeded, 2);
}

/// Jobs wait for one place, and two at once look whether there is one: the first has locked the second job too, to see that there
/// is none left for it.
async fn two_let_in_at_once(home: Arc<Home>, storage: PgStorage) {
    let pause = jobs_core::storage::Control {
        verb: ControlVerb::Pause(Scope::queues("*").unwrap(), None),
        actor: "ada".into(),
        reason: None,
    };
    storage.control(&pause).await.unwrap();
    let limited = || {
        let mut new = new_job();
        rules(&mut new).limits = vec![LimitRule::concurrency("one", 1).by("")];
        new
    };
    let three = [limited(), limited(), limited()];
    storage.insert(&three).await.unwrap();
    storage.tick().await.unwrap();
    let mut plain = home.connection().await;
    // By hand: the storage would let one in at once.
    home.run(&mut plain, "delete from jobs.control").await;
    let mut session = session(&home).await;
    let admit = "select jobs.admit(10)";
    home.run(&mut session, admit).await;
    let other = run_beside(&home, admit.into());
    waits_or_ends(&home, admit, &other).await;
    session.execute("commit").await.unwrap();
    other.await.unwrap();
    hold(&home, When::Settled).await;
    let me = worker(&storage).await;
    assert_eq!(claim(&storage, me, 5).await.1.jobs.len(), 1);
}

const QUEUE: &str = "queue:default";

async fn a_limit_is_taken_away_while_a_job_is_stored(home: Arc<Home>, storage: PgStorage) {
    let rule = LimitRule::concurrency(QUEUE, 1);
    storage
        .set_limit(QUEUE, Some(&rule), "ada", None)
        .await
        .unwrap();
    let mut session = session(&home).await;
    let new = new_job();
    let stored = session.insert(&storage, std::slice::from_ref(&new)).await;
    stored.unwrap();
    storage.set_limit(QUEUE, None, "ada", None).await.unwrap();
    session.execute("commit").await.unwrap();
    to_be_had(&home, &storage, &[&new]).await;
}

/// Who puts it there has seen the limit just before.
async fn a_limit_is_taken_away_while_a_job_gets_in_line(home: Arc<Home>, storage: PgStorage) {
    let new = new_job();
    storage.insert(std::slice::from_ref(&new)).await.unwrap();
    let mut session = session(&home).await;
    let id = new.id;
    let line_up =
        format!("delete from jobs.ticket where job_id = '{id}'; select jobs.line_up('{{{id}}}')");
    home.run(&mut session, &line_up).await;
    session.execute("commit").await.unwrap();
    to_be_had(&home, &storage, &[&new]).await;
}

/// Of two jobs one has the only token, and has not started.
async fn nobody_looks_again_for_what_time_does_not_bring(home: Arc<Home>, storage: PgStorage) {
    let minute = Duration::from_secs(60);
    for rule in [
        LimitRule::concurrency("concurrency", 1),
        LimitRule::bucket("bucket", 1, minute, 1),
        LimitRule::fixed("window", 1, minute),
        LimitRule::sliding("sliding", 1, minute),
    ] {
        let limited = || {
            let mut new = new_job();
            rules(&mut new).limits = vec![rule.by("")];
            new
        };
        storage.insert(&[limited(), limited()]).await.unwrap();
        storage.tick().await.unwrap();
    }
    let mut connection = home.connection().await;
    let again = loop {
        // The storage itself may be at it.
        let again = sqlx::query(home.sql("select again from jobs.admit(10) where not busy"));
        if let Some(again) = again.fetch_optional(&mut connection).await.unwrap() {
            break again;
        }
    };
    assert_eq!(again.get::<Option<f64>, _>(0), None);
    hold(&home, When::Settled).await;
}

async fn a_start_of_an_earlier_run_is_refused(_: Arc<Home>, storage: PgStorage) {
    let (me, first, job) = taken_again(&storage).await;
    let start = Start {
        worker: me,
        claim: first,
        job: job.id,
        run: job.run,
    };
    assert!(!storage.start(&start).await.unwrap());
}
