//! Everything at once, and then the books: the race of the conformance suite and what must be true of the tables
//! after it; and one with all that jobs can ask for, in which that must be true at every moment.
//!
//! `JOBS_TEST_SEED` repeats the choices of a race (not its timing), `JOBS_TEST_LONG=1` makes it last, and
//! `JOBS_TEST_WITHOUT` takes out one of the [guards](super::guards) first, to see the race notice it.

mod client;
mod others;
mod scene;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use jobs_core::job::WorkerId;
use jobs_core::storage::{ControlVerb, Flush, Inspect, Scope, Storage, StorageHandle, WorkerInfo};
use jobs_core::testing::conformance::race::Race;
use sqlx::Row;
use tokio::time::{Instant, sleep};

use super::invariants::{When, hold, watch, wrong};
use super::{Home, PATIENCE, guards, long, request, settlement, success, test};
use scene::{Luck, Scene, patiently};

/// The seed that was asked for, or a new one.
fn seed() -> u64 {
    let asked = std::env::var("JOBS_TEST_SEED").ok();
    let new = || uuid::Uuid::new_v4().as_u64_pair().0;
    asked.map_or_else(new, |seed| seed.parse().expect("JOBS_TEST_SEED: a number"))
}

/// The race of the conformance suite, which keeps books of its own.
#[test]
fn the_tables_balance_after_the_race_of_the_suite() {
    test(|home| async move {
        let storage = home.storage().await;
        watch(&home).await;
        let time = Duration::from_secs(if long() { 60 } else { 5 });
        let race = Race::new(seed(), time).with_rules();
        let handle = StorageHandle::new(storage.clone());
        // It goes on until everybody has met everybody: on a busy machine that is longer than it was given.
        let most = 4 * time + Duration::from_secs(120);
        let ended = tokio::time::timeout(most, race.run(&handle)).await;
        assert!(
            ended.is_ok(),
            "something is taken back, or handed out, again and again"
        );
        storage.tick().await.unwrap();
        hold(&home, When::Drained).await;
    });
}

#[test]
fn the_tables_balance_at_every_moment() {
    test(|home| async move {
        let seed = seed();
        println!("to repeat it, set JOBS_TEST_SEED={seed}");
        let mut luck = Luck::new(seed);
        let scene = Scene::new(&home).await;
        watch(&home).await;
        if let Ok(guard) = std::env::var("JOBS_TEST_WITHOUT") {
            guards::take_out(&home, guards::named(&guard)).await;
        }
        let (rounds, time) = if long() { (12, 10) } else { (3, 4) };
        for _ in 0..rounds {
            round(&scene, &mut luck, Duration::from_secs(time)).await;
        }
        let tally = scene.tally();
        println!("{tally:#?}");
        // A race in which nothing collided would prove nothing. A busy machine does not come to all of it in a short one.
        let mut wanted = vec!["outcomes", "orders", "transactions committed"];
        if long() {
            wanted.extend([
                "outcomes refused",
                "rescued",
                "transactions rolled back",
                "completed in a transaction",
                "handed over",
                "times another held the key",
                "batches cancelled",
                "batches reopened",
                "removed",
            ]);
        }
        for what in wanted {
            assert!(tally.contains_key(what), "not once: {what}");
        }
    });
}

/// Everybody at work for a time, with a look at the books now and then; then less and less, and a look each time.
async fn round(scene: &Arc<Scene>, luck: &mut Luck, time: Duration) {
    scene.stop(false);
    let mut playing = Vec::new();
    for _ in 0..2 {
        let client = client::Client::new(scene, Luck::new(luck.next()));
        playing.push(tokio::spawn(client.play()));
    }
    for _ in 0..3 {
        let worker = worker::Worker::new(scene, Luck::new(luck.next())).await;
        playing.push(tokio::spawn(worker.play()));
    }
    let operator = others::Operator {
        scene: Arc::clone(scene),
        luck: Luck::new(luck.next()),
    };
    playing.push(tokio::spawn(operator.play()));
    let rescuer = others::rescue(Arc::clone(scene), Luck::new(luck.next()));
    playing.push(tokio::spawn(rescuer));
    let keeper = others::keep_house(Arc::clone(scene), Luck::new(luck.next()));
    playing.push(tokio::spawn(keeper));
    let end = Instant::now() + time;
    while Instant::now() < end && !playing.iter().any(tokio::task::JoinHandle::is_finished) {
        sleep(Duration::from_millis(100)).await;
        hold(&scene.home, When::Always).await;
    }
    scene.stop(true);
    for one in playing {
        if let Err(error) = one.await {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    calm(scene, When::Settled).await;
    rescue_all(scene).await;
    calm(scene, When::Rescued).await;
    drain(scene).await;
}

/// Lets what was left for later be done, and then looks. What others of this process have begun may still be under way.
async fn calm(scene: &Scene, now: When) {
    let end = Instant::now() + PATIENCE;
    let home = &scene.home;
    loop {
        for storage in &scene.storages {
            patiently!(scene, storage.tick()).unwrap();
        }
        let (wrong, left) = (wrong(home, now).await, left(home).await);
        if wrong.is_empty() && left.is_empty() {
            return;
        }
        let last = Instant::now() >= end;
        assert!(!last, "{now:?}, and still {wrong:#?}; left: {left:#?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// What is left for later.
async fn left(home: &Home) -> Vec<String> {
    let left = "select 'todo ' || parent from jobs.todo union all select 'delta of ' || batch from jobs.batch_delta";
    let mut connection = home.connection().await;
    let rows = sqlx::query(home.sql(left)).fetch_all(&mut connection);
    rows.await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Takes everything back from everybody.
async fn rescue_all(scene: &Scene) {
    let storage = &scene.storages[0];
    let end = Instant::now() + PATIENCE;
    loop {
        let presences = patiently!(scene, storage.presences()).unwrap();
        if presences.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "not to be taken back: {presences:?}");
        for one in presences {
            others::rescue_once(scene, storage, one.worker, one.beat, 1_000).await;
        }
    }
}

/// Lifts what holds jobs back, runs all that can be run, and what becomes ready by that or later, until the books are right.
async fn drain(scene: &Scene) {
    let storage = &scene.storages[0];
    for name in ["moving", "queue:r.c"] {
        patiently!(scene, storage.set_limit(name, None, "ada", None)).unwrap();
    }
    others::control(
        scene,
        storage,
        ControlVerb::Resume(Scope::queues("*").unwrap()),
    )
    .await;
    for kind in scene::KINDS {
        let kind = Scope::kind(kind).unwrap();
        others::control(scene, storage, ControlVerb::Resume(kind)).await;
    }
    for batch in unsealed(&scene.home).await {
        patiently!(scene, storage.seal_batch(batch.into())).unwrap();
    }
    let me = WorkerId::new();
    storage.register(&WorkerInfo::new(me)).await.unwrap();
    let end = Instant::now() + 2 * PATIENCE;
    loop {
        patiently!(scene, storage.tick()).unwrap();
        let taken = run_some(scene, me).await;
        if taken > 0 {
            continue;
        }
        let counts = patiently!(scene, storage.counts()).unwrap();
        let (wrong, left) = (
            wrong(&scene.home, When::Drained).await,
            left(&scene.home).await,
        );
        if counts.unfinished() == counts.awaiting && wrong.is_empty() && left.is_empty() {
            break;
        }
        let last = Instant::now() >= end;
        assert!(!last, "drained, and still {counts:?}; {wrong:#?}; {left:?}");
        sleep(Duration::from_millis(20)).await;
    }
    patiently!(scene, storage.retire(me)).unwrap();
}

/// Runs what is to be had, and answers how much that was.
async fn run_some(scene: &Scene, me: WorkerId) -> usize {
    let storage = &scene.storages[0];
    let asked = request(me, "*", 300);
    let claimed = patiently!(scene, storage.claim(&asked)).unwrap();
    let run = |job| settlement(job, asked.claim, success());
    let flush = Flush {
        worker: me,
        settlements: claimed.jobs.iter().map(run).collect(),
        closed: vec![asked.claim],
    };
    let refused = patiently!(scene, storage.settle(&flush)).unwrap();
    assert_eq!(refused, [], "nobody else is there");
    claimed.jobs.len()
}

async fn unsealed(home: &Home) -> Vec<uuid::Uuid> {
    let mut connection = home.connection().await;
    let sql = "select id from jobs.batch where sealed_at is null and cancelled_at is null";
    let rows = sqlx::query(home.sql(sql)).fetch_all(&mut connection);
    rows.await.unwrap().iter().map(|row| row.get(0)).collect()
}
