//! Which queues a worker serves now: as it was set up or told by its handle, and as operators tell all
//! workers. It outlives the worker's incarnations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::caps::Caps;
use super::queues::Queues;
use crate::error::Result;
use crate::job::QueueOrder;

/// What a worker serves now.
#[derive(Debug)]
pub(super) struct Serving {
    state: Mutex<State>,
    /// Woken when the worker was told something by its handle.
    pub(super) changed: Notify,
    /// Whether a worker that is to take nothing new has nothing left.
    idle: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    own: QueueOrder,
    caps: Caps,
    /// What operators tell all workers.
    told: Option<QueueOrder>,
    now: Arc<Queues>,
    quiet: bool,
}

impl State {
    fn renew(&mut self) {
        let order = match &self.told {
            Some(told) => self.own.led_by(told),
            None => self.own.clone(),
        };
        self.now = Arc::new(Queues::new(order, self.caps.clone()));
    }
}

impl Serving {
    pub(super) fn new(own: QueueOrder, caps: Caps) -> Self {
        let state = State {
            now: Arc::new(Queues::new(own.clone(), caps.clone())),
            own,
            caps,
            told: None,
            quiet: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            idle: watch::Sender::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Arc<Queues> {
        Arc::clone(&self.lock().now)
    }

    pub(super) fn caps(&self) -> Caps {
        self.lock().caps.clone()
    }

    /// The queues that are served whatever operators say, for those who look at this worker.
    pub(super) fn names(&self) -> Vec<String> {
        let state = self.lock();
        state.own.patterns().map(ToString::to_string).collect()
    }

    /// Serves these from now on.
    pub(super) fn set(&self, own: QueueOrder) -> Result<()> {
        let mut state = self.lock();
        state.caps.check(&own)?;
        state.own = own;
        state.renew();
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes in what operators tell all workers; answers whether that is something else than before.
    pub(super) fn heed(&self, told: Option<&QueueOrder>) -> bool {
        let mut state = self.lock();
        if state.told.as_ref() == told {
            return false;
        }
        state.told = told.cloned();
        state.renew();
        true
    }

    /// Takes nothing new from now on.
    pub(super) fn be_quiet(&self) {
        self.lock().quiet = true;
        self.changed.notify_one();
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.lock().quiet
    }

    /// Nothing is left of what was taken.
    pub(super) fn is_idle(&self) {
        self.idle.send_replace(true);
    }

    /// Waits until a quiet worker has nothing left.
    pub(super) async fn wait_until_idle(&self) {
        // The sender is this, so that it is there as long as this waits.
        let _ = self.idle.subscribe().wait_for(|idle| *idle).await;
    }
}
