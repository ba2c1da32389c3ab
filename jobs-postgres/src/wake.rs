//! Hints that there is something to look at.
//!
//! Within the process they go through a channel. Other processes are told by NOTIFY, from a
//! statement of its own after the jobs are stored: a NOTIFY makes commits wait for each other, and
//! callers should not. The first is sent at once, then one every few milliseconds for all that came
//! meanwhile. Whatever gets lost is found by polling.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use chrono::TimeDelta;
use jobs_core::job::{Due, JobId, NewJob, WorkerId};
use jobs_core::storage::{HINTED_AHEAD, Wake};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::broadcast;
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::lanes::Lane;
use crate::store::Store;

/// Hints that a slow receiver may leave unread before it is told to look at everything.
const CAPACITY: usize = 256;

/// The pause between two NOTIFYs.
const COALESCE: Duration = Duration::from_millis(5);

/// What is due later needs no hint. A second more than workers rely on: the clock that it is counted by is a guess.
const SOON: Duration = HINTED_AHEAD.saturating_add(Duration::from_secs(1));

/// A connection can die without a word; after so much silence it is asked.
const SILENCE: Duration = Duration::from_secs(60);

/// The longest pause between two attempts to listen.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Wakes {
    sender: broadcast::Sender<Wake>,
    /// How to listen; `None` where that does not work.
    listen: Option<PgConnectOptions>,
    /// Marks our own notifications, which we need not hear.
    origin: String,
    store: OnceLock<Weak<Store>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pending: HashSet<String>,
    notifying: bool,
    /// Workers of this process.
    workers: HashSet<WorkerId>,
    listener: Option<AbortHandle>,
}

impl Wakes {
    pub(crate) fn new(listen: Option<PgConnectOptions>) -> Self {
        Self {
            sender: broadcast::Sender::new(CAPACITY),
            listen,
            origin: format!("{:08x}", Uuid::new_v4().as_u128() as u32),
            store: OnceLock::new(),
            state: Mutex::default(),
        }
    }

    /// Says which storage this belongs to.
    pub(crate) fn belongs_to(&self, store: &Arc<Store>) {
        let _ = self.store.set(Arc::downgrade(store));
    }

    /// That storage, while it is there.
    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        self.store.get().and_then(Weak::upgrade)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn crosses_processes(&self) -> bool {
        self.listen.is_some()
    }

    pub(crate) fn worker_came(&self, worker: WorkerId) {
        self.state().workers.insert(worker);
    }

    pub(crate) fn worker_went(&self, worker: WorkerId) {
        self.state().workers.remove(&worker);
    }

    /// Jobs were stored and committed. Here everybody hears of it, elsewhere only if they are due
    /// soon.
    pub(crate) fn stored(&self, store: &Store, jobs: &[NewJob]) {
        let mut last = None;
        for job in jobs {
            if last != Some(&*job.queue) {
                last = Some(&*job.queue);
                self.tell_here(Wake::Jobs((&*job.queue).into()));
            }
        }
        self.tell_others(self.hints(&lanes_due_soon(store, jobs)));
    }

    /// Jobs wait in these lanes.
    pub(crate) fn waiting(&self, lanes: HashSet<Lane>) {
        let queues: HashSet<&str> = lanes.iter().map(|(queue, _)| &**queue).collect();
        for queue in queues {
            self.tell_here(Wake::Jobs(queue.into()));
        }
        self.tell_others(self.hints(&lanes));
    }

    /// What others are sent for these lanes.
    pub(crate) fn hints(&self, lanes: &HashSet<Lane>) -> Vec<String> {
        match self.listen {
            Some(_) => lanes
                .iter()
                .map(|lane| payload(lane, &self.origin))
                .collect(),
            None => Vec::new(),
        }
    }

    /// A job was deleted while it ran, or a queue was paused; others hear of it from the statement
    /// itself.
    pub(crate) fn tell_here(&self, wake: Wake) {
        // Nobody listening is no error.
        let _ = self.sender.send(wake);
    }

    /// Others have to look from the beginning.
    pub(crate) fn tell_put_below(&self) {
        if self.listen.is_some() {
            self.tell_others(vec!["b".into()]);
        }
    }

    fn tell_others(&self, hints: Vec<String>) {
        if hints.is_empty() {
            return;
        }
        let store = self.store.get().and_then(Weak::upgrade);
        let (Some(store), Ok(runtime)) = (store, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let mut state = self.state();
        state.pending.extend(hints);
        if !state.notifying {
            state.notifying = true;
            drop(state);
            runtime.spawn(notify(Notifying(store)));
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Wake> {
        let receiver = self.sender.subscribe();
        self.listen();
        receiver
    }

    /// Starts to listen, unless that is going on. The runtime that it went on in may have ended.
    fn listen(&self) {
        let store = self.store.get().and_then(Weak::upgrade);
        let runtime = tokio::runtime::Handle::try_current();
        let (Some(options), Some(store), Ok(runtime)) = (&self.listen, store, runtime) else {
            return;
        };
        let mut state = self.state();
        let listening = state.listener.as_ref();
        if listening.is_none_or(AbortHandle::is_finished) {
            let listening = listen(
                options.clone(),
                store.schema.channel(),
                Arc::downgrade(&store),
            );
            state.listener = Some(runtime.spawn(listening).abort_handle());
        }
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        if let Some(listener) = self.state().listener.take() {
            listener.abort();
        }
    }
}

/// The lanes of jobs that are due soon.
pub(crate) fn lanes_due_soon(store: &Store, jobs: &[NewJob]) -> HashSet<Lane> {
    let soon = |due: Due| match due {
        Due::Now => true,
        Due::In(wait) => wait < SOON,
        Due::At(at) => at - store.clock.now() < TimeDelta::from_std(SOON).unwrap_or_default(),
    };
    let mut lanes: HashSet<Lane> = HashSet::new();
    let mut last: Option<(&str, i16)> = None;
    for job in jobs {
        let lane = (&*job.queue, job.priority.get());
        if last != Some(lane) && soon(job.due) {
            last = Some(lane);
            lanes.insert((lane.0.to_owned(), lane.1));
        }
    }
    lanes
}

/// What is sent for a lane: `j`, priority, queue, and who says it, who need not hear it. The names
/// of queues contain no `@`.
pub(crate) fn payload((queue, priority): &Lane, origin: &str) -> String {
    format!("j{priority}:{queue}@{origin}")
}

/// Sends what is pending, until nothing is.
async fn notify(notifying: Notifying) {
    let store = &notifying.0;
    loop {
        let (hints, workers) = {
            let mut state = store.wakes.state();
            if state.pending.is_empty() {
                state.notifying = false;
                return;
            }
            let hints: Vec<String> = state.pending.drain().collect();
            let workers: Vec<Uuid> = state.workers.iter().map(|id| id.as_uuid()).collect();
            (hints, workers)
        };
        let statement = store.statement(&store.sql.notify).bind(hints).bind(workers);
        // A hint that cannot be given is no loss: everybody also looks by himself.
        if let Err(failure) = store.rows("wake workers", statement).await {
            tracing::debug!(error = %failure.error, "workers elsewhere were not woken");
        }
        tokio::time::sleep(COALESCE).await;
    }
}

/// Notes that nobody is notifying any more, also if the runtime ends in the middle of it.
struct Notifying(Arc<Store>);

impl Drop for Notifying {
    fn drop(&mut self) {
        self.0.wakes.state().notifying = false;
    }
}

/// Listens for ever. Ends with the storage, which it does not keep alive.
async fn listen(options: PgConnectOptions, channel: String, store: Weak<Store>) {
    let mut pause = Duration::from_millis(50);
    let mut first = true;
    loop {
        // The driver's own listener can come back by itself, but not from every error: each time a
        // new one is made.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options.clone());
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen(&channel).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        match listening.await {
            Ok(listener) => {
                pause = Duration::from_millis(50);
                if !std::mem::replace(&mut first, false) {
                    tell(&store, Wake::Everything);
                }
                relay(listener, &store).await;
                tell(&store, Wake::Everything);
            }
            Err(error) => tracing::debug!(%error, "cannot listen for wake-ups; trying again"),
        }
        if store.strong_count() == 0 {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Passes on what comes in, until the connection is lost.
async fn relay(mut listener: PgListener, store: &Weak<Store>) {
    loop {
        match tokio::time::timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => hear(store, notification.payload()),
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                tracing::debug!(%error, "lost the connection that wake-ups come by");
                return;
            }
            Err(_) => {
                let ping = sqlx::query("select 1").execute(&mut listener);
                let Ok(Ok(_)) = tokio::time::timeout(LONGEST_PAUSE, ping).await else {
                    return;
                };
            }
        }
    }
}

fn tell(store: &Weak<Store>, wake: Wake) {
    if let Some(store) = store.upgrade() {
        store.wakes.tell_here(wake);
    }
}

fn hear(store: &Weak<Store>, payload: &str) {
    let Some(store) = store.upgrade() else {
        return;
    };
    match parse(payload) {
        Some(Heard::Jobs { lane, origin }) => {
            store.lanes.seen(std::slice::from_ref(&lane));
            if origin != store.wakes.origin {
                store.wakes.tell_here(Wake::Jobs(lane.0.into()));
            }
        }
        Some(Heard::Cancelled(job)) => store.wakes.tell_here(Wake::Cancelled(job)),
        Some(Heard::Queues) => store.wakes.tell_here(Wake::Queues),
        Some(Heard::Upkeep) => store.kick(),
        Some(Heard::Below) => {
            store.put_below();
            store.wakes.tell_here(Wake::Queues);
        }
        // From a later version, or from somebody else.
        None => store.wakes.tell_here(Wake::Everything),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Heard<'p> {
    Jobs {
        lane: Lane,
        origin: &'p str,
    },
    Cancelled(JobId),
    Queues,
    /// A caller's transaction has stored or completed jobs with rules.
    Upkeep,
    /// A ticket was written that may lie below what claims look at.
    Below,
}

fn parse(payload: &str) -> Option<Heard<'_>> {
    if payload == "q" {
        return Some(Heard::Queues);
    }
    if payload == "u" {
        return Some(Heard::Upkeep);
    }
    if payload == "b" {
        return Some(Heard::Below);
    }
    if let Some(job) = payload.strip_prefix('c') {
        return job.parse().ok().map(Heard::Cancelled);
    }
    let (priority, rest) = payload.strip_prefix('j')?.split_once(':')?;
    let (queue, origin) = rest.rsplit_once('@')?;
    let lane = (queue.to_owned(), priority.parse().ok()?);
    Some(Heard::Jobs { lane, origin })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_understood() {
        let lane = ("mail:a.b-c_1".to_owned(), -5);
        let sent = payload(&lane, "00c0ffee");
        let heard = Heard::Jobs {
            lane,
            origin: "00c0ffee",
        };
        assert_eq!(parse(&sent), Some(heard));
        assert_eq!(parse("q"), Some(Heard::Queues));
        assert_eq!(parse("u"), Some(Heard::Upkeep));
        assert_eq!(parse("b"), Some(Heard::Below));
        let job = JobId::new();
        assert_eq!(parse(&format!("c{job}")), Some(Heard::Cancelled(job)));
        assert_eq!(parse("something else"), None);
    }
}
