//! The settings of a worker, each with its default.

use std::time::Duration;

use crate::lifecycle::RetryPolicy;
use crate::storage::Retention;

/// The settings of a worker.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) concurrency: usize,
    pub(super) poll_interval: Duration,
    pub(super) grace: Duration,
    pub(super) stop_grace: Duration,
    pub(super) retry: RetryPolicy,
    pub(super) timeout: Option<Duration>,
    pub(super) retention: Retention,
    pub(super) liveness: Liveness,
    /// Whether it declares and fires what recurs.
    pub(super) recurring: bool,
}

/// How the living are told from the dead. The parts fit each other: a worker gives up its jobs
/// (`fence`) well before others take them (`death`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    /// How often a worker gives a sign of life.
    pub(super) beat: Duration,
    /// Without an answered beat for so long, a worker stops what it runs.
    pub(super) fence: Duration,
    /// A worker whose beat somebody has watched not to move for so long is dead.
    pub(super) death: Duration,
    /// How often workers look at each other.
    pub(super) watch: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            beat: secs(5),
            fence: secs(20),
            death: secs(25),
            watch: secs(2),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 64,
            poll_interval: Duration::from_secs(1),
            grace: Duration::from_secs(20),
            stop_grace: Duration::from_secs(5),
            retry: RetryPolicy::default(),
            timeout: None,
            retention: Retention::default(),
            liveness: Liveness::default(),
            recurring: true,
        }
    }
}
