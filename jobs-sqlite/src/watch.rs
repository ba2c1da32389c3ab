//! A thread that looks at the time of the log, 40 times a second while somebody listens, and sleeps without a
//! timer else. A thread of its own wakes for a tenth of what it takes to wake a runtime that is idle.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// File systems may be late by a tick of their clock with the time at which a file was changed.
const TICK: Duration = Duration::from_millis(20);

/// What the thread tells, and is told.
#[derive(Default)]
pub(crate) struct Told {
    /// The log was written to since this was taken back.
    pub(crate) written: AtomicBool,
    /// Notified then.
    pub(crate) news: Notify,
    listening: AtomicBool,
    over: AtomicBool,
}

/// The thread; it ends with this.
pub(crate) struct Watch {
    pub(crate) told: Arc<Told>,
    /// None if the system has no thread to spare: then there is only the slow look.
    thread: Option<Thread>,
}

impl Watch {
    pub(crate) fn start(log: PathBuf) -> Self {
        let told = Arc::<Told>::default();
        let theirs = Arc::clone(&told);
        let named = thread::Builder::new().name("jobs-sqlite-watch".into());
        let started = named.spawn(move || watch(&theirs, &log));
        if let Err(error) = &started {
            tracing::warn!(%error, "no thread to watch the file: other processes' jobs may start 0.5 s late");
        }
        Self {
            told,
            thread: started.ok().map(|handle| handle.thread().clone()),
        }
    }

    /// Whether somebody wants to know.
    pub(crate) fn listen(&self, listening: bool) {
        let before = self.told.listening.swap(listening, Ordering::Relaxed);
        if listening && !before {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.told.over.store(true, Ordering::Relaxed);
        self.wake();
    }
}

fn watch(told: &Told, log: &Path) {
    let mut known = None;
    while !told.over.load(Ordering::Relaxed) {
        if !told.listening.load(Ordering::Relaxed) {
            thread::park();
            continue;
        }
        thread::park_timeout(LOOK_EVERY);
        let written = log.metadata().and_then(|log| log.modified()).ok();
        // Within a tick of its time the log may have been written to once more without showing it.
        let ripe = |at: &SystemTime| at.elapsed().is_ok_and(|age| age > TICK);
        let ripe = written.filter(ripe);
        if ripe.is_none() || ripe != known {
            known = ripe;
            told.written.store(true, Ordering::Relaxed);
            told.news.notify_one();
        }
    }
}
