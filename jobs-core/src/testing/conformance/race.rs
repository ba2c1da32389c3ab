//! Everything at once: clients, workers that send answers twice or come back from the dead, rescuers and
//! operators, all on the same jobs. At quiet moments the books must balance.
//!
//! A ledger writes down every answer of the storage; what may not be is found at once (a run
//! that is handed out twice, or ended twice) or when all is quiet.

mod actors;
mod audit;
mod client;
mod ledger;
mod rules;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::storage::StorageHandle;
use actors::Actor;
use ledger::Ledger;

/// How many rounds are added at most until all has happened that is to happen.
const MORE: u32 = 20;

/// How long a race lasts, and which.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Race {
    /// What all choices follow from (not the timing, which is the machine's).
    pub seed: u64,
    /// How long it lasts, quiet moments not counted.
    pub time: Duration,
    /// Whether jobs wait for each other, are unique, in batches, limited, and expire.
    pub rules: bool,
}

impl Default for Race {
    /// Two seconds, or a minute with `JOBS_TEST_LONG=1`; a new seed, or that in `JOBS_TEST_SEED`.
    fn default() -> Self {
        let set = |name| std::env::var(name).ok();
        let long = set("JOBS_TEST_LONG").is_some_and(|value| value == "1");
        let seed =
            set("JOBS_TEST_SEED").map(|seed| seed.parse().expect("JOBS_TEST_SEED: a number"));
        Self {
            seed: seed.unwrap_or_else(|| fastrand::u64(..)),
            time: Duration::from_secs(if long { 60 } else { 2 }),
            rules: false,
        }
    }
}

impl Race {
    /// A race with this seed, which lasts this long.
    pub fn new(seed: u64, time: Duration) -> Self {
        let rules = false;
        Self { seed, time, rules }
    }

    /// The same with jobs that have [rules](crate::job::Rules).
    pub fn with_rules(self) -> Self {
        Self {
            rules: true,
            ..self
        }
    }

    /// Runs it on a fresh storage; panics when something is found that may not be, naming the seed.
    pub async fn run(self, storage: &StorageHandle) {
        let Self { seed, time, rules } = self;
        println!("race: to repeat it, set JOBS_TEST_SEED={seed}");
        let mut luck = fastrand::Rng::with_seed(seed);
        let ledger = Arc::new(Ledger::default());
        let rounds = (time.as_secs() / 5).max(2) as u32;
        let mut round = 0;
        loop {
            round += 1;
            let end = Instant::now() + time / rounds;
            let stop = Arc::new(AtomicBool::new(false));
            let actors = Actor::cast(&mut luck, storage, &ledger, rules, &stop);
            let names: Vec<_> = actors.iter().map(|actor| actor.role.name()).collect();
            println!("round {round} of {rounds}: {}", names.join(", "));
            let playing: Vec<_> = actors
                .into_iter()
                .map(|actor| tokio::spawn(actor.play()))
                .collect();
            while Instant::now() < end && !playing.iter().any(|one| one.is_finished()) {
                sleep(Duration::from_millis(10)).await;
            }
            stop.store(true, Ordering::Relaxed);
            for one in playing {
                if let Err(error) = one.await {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
            audit::calm(storage).await;
            audit::all_quiet(storage, &ledger).await;
            audit::rescue_all(storage, &ledger).await;
            audit::nothing_is_held(storage, &ledger).await;
            audit::drain(storage, &ledger).await;
            audit::all_quiet(storage, &ledger).await;
            // On a busy machine it takes longer until everybody has met everybody.
            let missing = ledger.is_missing(rules).filter(|_| time.as_secs() >= 1);
            match missing {
                _ if round < rounds => {}
                None => break,
                Some(missing) => assert!(round < rounds + MORE, "{missing}"),
            }
        }
        ledger.tell();
    }
}

/// Whatever happens at once, each run ends once, every waiting job is to be had, and the counters equal
/// the records.
pub async fn the_books_balance(storage: StorageHandle) {
    Race::default().run(&storage).await;
}

/// The same when jobs have rules: those who wait run after what they wait for, and not in vain; keys are
/// held by one; batches count their members and end with the last; limits hold, and let everybody in.
pub async fn the_books_balance_with_rules(storage: StorageHandle) {
    Race::default().with_rules().run(&storage).await;
}
