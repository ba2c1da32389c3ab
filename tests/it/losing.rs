//! Workers that die, stand still, or take their process with them: real processes and real signals.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use jobs::inspect::JobRecord;
use jobs::{AttemptOutcome, JobId, State};

use crate::kinds::{abort, hold, ignores, named, note, rest};
use crate::setup::{Orders, PATIENCE, Place, QUICK, on_all, until};

/// Whoever dies is found dead soon.
fn quick(orders: &mut Orders) {
    orders.liveness = Some(QUICK);
}

/// Waits until so many lines of this sort are in the record.
async fn until_effects(place: &Place, what: &str, count: usize) {
    let look = async || place.effects.of(what).len();
    until(&format!("{count} jobs {what}"), PATIENCE, look, |seen| {
        *seen >= count
    })
    .await;
}

/// Kills a worker with 100 running jobs; answers how long after that all of them ran elsewhere, and how long after it had
/// been heard of, or later.
async fn kill_with_a_hundred(
    place: &Place,
    liveness: Option<(Duration, Duration)>,
) -> (Duration, TimeDelta) {
    let doomed = place
        .process(|orders| (orders.concurrency, orders.liveness) = (100, liveness))
        .await;
    let jobs = hold
        .enqueue_many(vec!["go"; 100])
        .on(&place.client)
        .await
        .unwrap();
    until_effects(place, "start", 100).await;
    let living = place.storage.inspect().workers().await.unwrap();
    let heard = living[0].beat_at;
    let heir = place
        .process(|orders| (orders.concurrency, orders.liveness) = (100, liveness))
        .await;
    let (first, second) = (doomed.pid(), heir.pid());
    doomed.kill();
    let killed = Instant::now();
    // None of them ends before all of them run: they do not wait for each other.
    let again = async || {
        place
            .effects
            .of("start")
            .iter()
            .filter(|effect| effect.pid == second)
            .count()
    };
    until("all run elsewhere", PATIENCE, again, |count| *count == 100).await;
    let took = (killed.elapsed(), Utc::now() - heard);
    place.effects.open_gate("go");
    place.drained(PATIENCE).await;
    for id in jobs.ids() {
        let record = place.record(*id).await;
        assert_eq!(
            (record.state, record.attempt, record.lost),
            (State::Succeeded, 1, 1)
        );
        let runs = place.effects.of_job("start", *id);
        let seen: Vec<_> = runs
            .iter()
            .map(|run| (run.pid, run.attempt, run.lost))
            .collect();
        assert_eq!(seen, [(first, 1, 0), (second, 1, 1)]);
        let attempts = place.storage.inspect().attempts(*id).await.unwrap();
        assert_eq!(attempts.len(), 1);
        assert_eq!(
            (attempts[0].number, attempts[0].outcome),
            (1, AttemptOutcome::Lost)
        );
    }
    took
}

on_all!(the_jobs_of_a_killed_worker_run_again_within_35_s: sqlite, postgres);

async fn the_jobs_of_a_killed_worker_run_again_within_35_s(place: &Place) {
    let (took, unheard) = kill_with_a_hundred(place, None).await;
    // A busy machine may take some time to start a hundred jobs.
    let slack = Duration::from_secs(20);
    assert!(took <= Duration::from_secs(35) + slack, "{took:?}");
    // Nobody is taken for dead sooner than was said.
    assert!(unheard >= TimeDelta::seconds(24), "{unheard:?}");
}

on_all!(the_jobs_of_a_killed_worker_run_again: sqlite, postgres);

async fn the_jobs_of_a_killed_worker_run_again(place: &Place) {
    kill_with_a_hundred(place, Some(QUICK)).await;
}

on_all!(a_worker_that_stood_still_is_refused: sqlite, postgres);

/// Stopped past its lease, rescued, continued: what it says then is not heard.
async fn a_worker_that_stood_still_is_refused(place: &Place) {
    let still = place.process(quick).await;
    let jobs = ignores
        .enqueue_many(vec!["late"; 10])
        .on(&place.client)
        .await
        .unwrap();
    until_effects(place, "start", 10).await;
    still.signal("STOP");
    let heir = place.process(quick).await;
    place.drained(PATIENCE).await;
    let stands = records(place, jobs.ids()).await;
    for record in &stands {
        let second_run = Some("1".to_owned());
        assert_eq!(
            (record.state, record.attempt, record.lost),
            (State::Succeeded, 1, 1),
            "{record:?}"
        );
        assert_eq!((&record.result, record.run), (&second_run, 2));
    }
    // It wakes, and notices by itself that its jobs are others' by now.
    still.signal("CONT");
    until_effects(place, "lost", 10).await;
    let by = place.effects.of("lost");
    assert!(by.iter().all(|effect| effect.pid == still.pid()));
    // Its jobs succeed all the same, and it would like to say so.
    place.effects.open_gate("late");
    until_effects(place, "end", 20).await;
    let ends = place.effects.of("end");
    assert_eq!(
        ends.iter()
            .filter(|effect| effect.pid == still.pid())
            .count(),
        10
    );
    // It lives again, as another one, and runs jobs; what it had to say of the old ones was refused.
    let incarnations = async || {
        let workers = place.storage.inspect().workers().await.unwrap();
        workers
            .iter()
            .filter(|worker| worker.info.pid == still.pid() && worker.dead_at.is_none())
            .count()
    };
    until("it starts over", PATIENCE, incarnations, |count| {
        *count == 1
    })
    .await;
    heir.signal("TERM");
    assert!(heir.ended(PATIENCE).await.success());
    let new = note.enqueue(1).on(&place.client).await.unwrap();
    new.result().await.unwrap();
    still.signal("TERM");
    assert!(still.ended(PATIENCE).await.success());
    for (before, after) in stands.iter().zip(records(place, jobs.ids()).await) {
        let stood = (
            before.state,
            before.attempt,
            before.lost,
            before.run,
            &before.result,
            before.worker,
        );
        let stands = (
            after.state,
            after.attempt,
            after.lost,
            after.run,
            &after.result,
            after.worker,
        );
        assert_eq!(stood, stands);
    }
}

async fn records(place: &Place, ids: &[JobId]) -> Vec<JobRecord> {
    let mut records = Vec::new();
    for id in ids {
        records.push(place.record(*id).await);
    }
    records
}

on_all!(a_job_that_kills_its_worker_is_stopped_and_its_neighbours_are_not: sqlite, postgres);

async fn a_job_that_kills_its_worker_is_stopped_and_its_neighbours_are_not(place: &Place) {
    // Somebody must live to see who dies; it knows none of these jobs.
    let (beat, death) = QUICK;
    let witness = place
        .worker(named(&["e2e.noop".into()]))
        .queues(["elsewhere"])
        .liveness(beat, death);
    let witness = witness.start().await.unwrap();
    let deadly = abort.enqueue().on(&place.client).await.unwrap();
    let mut neighbours = Vec::new();
    let mut deaths = 0;
    let survivor = loop {
        // Others run beside it, each time: those of before that are left, and new ones.
        let more = rest.enqueue_many([700; 5]).on(&place.client).await.unwrap();
        neighbours.extend_from_slice(more.ids());
        let mut worker = place.spawn(quick);
        let end = Instant::now() + PATIENCE;
        while !worker.has_ended() && deadly.state().await.unwrap() != State::Failed {
            assert!(
                Instant::now() < end,
                "never run: {:?}",
                deadly.record().await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if !worker.has_ended() {
            break worker;
        }
        deaths += 1;
        assert!(deaths <= 3, "it was not stopped after three deaths");
    };
    let record = deadly.record().await.unwrap();
    assert_eq!((record.attempt, record.lost, deaths), (0, 3, 3));
    assert_eq!(
        record.reason.as_deref(),
        Some("its worker died 3 times while running it")
    );
    assert_eq!(place.effects.of_job("start", deadly.id()).len(), 3);
    // With a worker that lives, the neighbours all come to a good end.
    place.drained(PATIENCE).await;
    for record in records(place, &neighbours).await {
        assert_eq!(
            (record.state, record.attempt),
            (State::Succeeded, 1),
            "{record:?}"
        );
    }
    drop(survivor);
    witness.stop().await;
}

on_all!(two_processes_share_the_work_and_one_is_killed: sqlite, postgres);

/// Nothing that was committed is lost, and nothing counts twice.
async fn two_processes_share_the_work_and_one_is_killed(place: &Place) {
    let four = |orders: &mut Orders| (orders.concurrency, orders.liveness) = (4, Some(QUICK));
    let survivor = place.process(four).await;
    let mut ids = Vec::new();
    for round in 0..2 {
        let doomed = place.process(four).await;
        let worked = async || {
            let all = place.effects.all();
            all.iter().filter(|it| it.pid == doomed.pid()).count()
        };
        // As many as it takes: one may be through with many before the other has looked.
        let end = Instant::now() + PATIENCE;
        while worked().await < 50 {
            assert!(Instant::now() < end, "only one of them works");
            for n in 0..10 {
                let jobs = rest.enqueue_many([10; 20]).on(&place.client).await.unwrap();
                ids.extend_from_slice(jobs.ids());
                ids.push(note.enqueue(n).on(&place.client).await.unwrap().id());
            }
            let few = async || place.storage.inspect().counts().await.unwrap();
            until("few are left", PATIENCE, few, |left| left.unfinished() < 50).await;
        }
        // In the middle of it: each of them runs some that do not end before.
        let gate = format!("round-{round}");
        let jobs = hold.enqueue_many(vec![&*gate; 8]).on(&place.client);
        let jobs = jobs.await.unwrap().ids().to_vec();
        let started = async || {
            let starts = jobs
                .iter()
                .flat_map(|id| place.effects.of_job("start", *id));
            starts.filter(|it| it.pid == doomed.pid()).count()
        };
        until("it is at work", PATIENCE, started, |starts| *starts > 0).await;
        ids.extend(jobs);
        doomed.kill();
        place.effects.open_gate(&gate);
    }
    place.drained(PATIENCE * 2).await;
    for record in records(place, &ids).await {
        assert_eq!(
            (record.state, record.attempt),
            (State::Succeeded, 1),
            "{record:?}"
        );
        assert!(record.lost <= 2);
    }
    drop(survivor);
}
