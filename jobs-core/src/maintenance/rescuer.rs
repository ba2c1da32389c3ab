//! Finds workers that have died and gives their jobs back.
//!
//! A worker is dead when somebody has *watched* its beat number stand still for long enough by their
//! own monotonic clock, in touch with the storage all the while. No two clocks are compared. When the
//! storage itself was away, everybody's beats stood still, and the watch starts anew: otherwise the
//! first worker back would take all others for dead.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::jittered;
use crate::error::Result;
use crate::job::WorkerId;
use crate::lifecycle::{LOST_LIMIT, LOST_REASON};
use crate::storage::{Presence, RescueRequest, StorageHandle};

/// How many jobs are given back in one go.
const BATCH: usize = 1_000;

/// Who has been seen, with which beat, since when.
#[derive(Debug)]
struct Watch {
    death: Duration,
    patience: Duration,
    seen: HashMap<WorkerId, (i64, Instant)>,
    looked: Option<Instant>,
}

impl Watch {
    /// A watch that takes a worker for dead after `death`, for somebody who looks every `interval`.
    fn new(death: Duration, interval: Duration) -> Self {
        // Whoever has not looked for much longer than that was away, and has watched nothing.
        Self {
            death,
            patience: interval * 3,
            seen: HashMap::new(),
            looked: None,
        }
    }

    /// Forgets what was seen: the storage was out of sight.
    fn blink(&mut self) {
        self.seen.clear();
    }

    /// Takes in who is there now; answers who is dead.
    fn look(&mut self, now: Instant, presences: &[Presence]) -> Vec<Presence> {
        if self.looked.is_some_and(|last| now - last > self.patience) {
            self.blink();
        }
        self.looked = Some(now);
        let before = std::mem::take(&mut self.seen);
        let mut dead = Vec::new();
        for presence in presences {
            let Presence {
                worker,
                beat,
                dead: known_dead,
            } = *presence;
            let since = match before.get(&worker) {
                Some((last, since)) if *last == beat => *since,
                _ => now,
            };
            self.seen.insert(worker, (beat, since));
            if known_dead || now - since >= self.death {
                dead.push(*presence);
            }
        }
        dead
    }
}

/// Watches and rescues until told to stop.
pub(crate) async fn rescue_the_dead(
    storage: StorageHandle,
    myself: WorkerId,
    death: Duration,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut watch = Watch::new(death, interval);
    loop {
        let pause = jittered(interval);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let presences = match storage.presences().await {
            Ok(presences) => presences,
            Err(error) => {
                debug!(%error, "the other workers are out of sight");
                watch.blink();
                continue;
            }
        };
        for dead in watch.look(Instant::now(), &presences) {
            // One that is dead cannot see itself dead: its own beat tells it.
            if dead.worker == myself {
                continue;
            }
            if let Err(error) = rescue(&storage, dead).await {
                warn!(%error, worker = %dead.worker, "its jobs could not be given back yet");
            }
        }
    }
}

async fn rescue(storage: &StorageHandle, dead: Presence) -> Result<()> {
    let request = RescueRequest {
        worker: dead.worker,
        beat: dead.beat,
        lost_limit: LOST_LIMIT,
        lost_reason: LOST_REASON,
        limit: BATCH,
    };
    loop {
        let rescued = storage.rescue(&request).await?;
        let (released, failed) = (rescued.released, rescued.failed);
        if released + failed > 0 {
            warn!(worker = %dead.worker, released, failed, "a worker died; its jobs were given back");
        }
        // What is left is in somebody else's hands just now: the next look finds it.
        if !rescued.more || released + failed == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn presence(worker: WorkerId, beat: i64) -> Presence {
        Presence {
            worker,
            beat,
            dead: false,
        }
    }

    /// Looks every two seconds; the beat at second n is `beat(n)`. Answers when it was found dead.
    fn found_dead(
        until: u64,
        beat: impl Fn(u64) -> i64,
        away: std::ops::Range<u64>,
    ) -> Option<u64> {
        let (worker, start) = (WorkerId::new(), Instant::now());
        let mut watch = Watch::new(secs(25), secs(2));
        (0..until)
            .step_by(2)
            .filter(|second| !away.contains(second))
            .find(|second| {
                !watch
                    .look(start + secs(*second), &[presence(worker, beat(*second))])
                    .is_empty()
            })
    }

    #[test]
    fn a_beat_that_stands_still_is_a_death() {
        assert_eq!(
            found_dead(100, |second| (second.min(20) / 5) as i64, 0..0),
            Some(46)
        );
    }

    #[test]
    fn who_beats_lives() {
        assert_eq!(found_dead(1_000, |second| (second / 5) as i64, 0..0), None);
    }

    #[test]
    fn who_was_away_has_watched_nothing() {
        // Nobody beats while the storage is away, and the watcher sees nothing of it.
        let beat = |second: u64| if second < 60 { 1 } else { (second / 5) as i64 };
        assert_eq!(found_dead(200, beat, 10..60), None);
    }

    #[test]
    fn a_blink_starts_the_watch_anew() {
        let (worker, start) = (WorkerId::new(), Instant::now());
        let mut watch = Watch::new(secs(25), secs(60));
        watch.look(start, &[presence(worker, 1)]);
        watch.blink();
        assert!(
            watch
                .look(start + secs(30), &[presence(worker, 1)])
                .is_empty()
        );
        assert_eq!(
            watch.look(start + secs(55), &[presence(worker, 1)]).len(),
            1
        );
    }

    #[test]
    fn the_known_dead_are_rescued_at_once() {
        let mut watch = Watch::new(secs(25), secs(2));
        let dead = Presence {
            worker: WorkerId::new(),
            beat: 4,
            dead: true,
        };
        assert_eq!(watch.look(Instant::now(), &[dead]), [dead]);
    }
}
