//! Jobs that are enqueued one by one at the same time go to the storage together.
//!
//! 1. A caller that finds nothing on its way sends its own job itself: an idle client adds no delay.
//! 2. Callers that come meanwhile queue up; the first of them spawns a driver, a task that sends what has
//!    queued up, again and again, until nothing has.
//! 3. Each caller is answered after the commit of the statement that its job was in.
//!
//! Jobs that limits count, or that expire, have a way of their own: storing them costs more, which the others
//! must not wait for. Those whose insert may have to wait for somebody's transaction go by themselves
//! ([`Road::of`]).
//!
//! Nobody depends on another caller: one that sends for itself may be dropped, or never polled again,
//! while the driver goes on. The driver lives on the runtime of the callers that it serves, since each
//! runtime has its own queue, and therefore as long as they do; should it die all the same (its runtime
//! ends, the storage panics), then those that wait hear of it and send for themselves. That is safe
//! because a storage leaves a job alone that it has already.

use std::collections::{HashMap, VecDeque};
use std::error::Error as StdError;
use std::fmt;
use std::mem;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use super::{counted, only};
use crate::error::{Error, Result};
use crate::job::NewJob;
use crate::storage::{Inserted, StorageHandle};

/// A statement is ended early at this many bytes of arguments: databases bound the size of a message.
const MAX_BYTES: usize = 4 << 20;

/// Sends jobs together that come at the same time.
pub(super) struct Coalescer {
    storage: StorageHandle,
    retry_for: Duration,
    max_batch: usize,
    /// Only those with something on its way are here.
    lanes: Mutex<HashMap<(runtime::Id, Road), Lane>>,
}

/// Which jobs go together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Road {
    /// Without rules.
    Plain,
    /// With rules that nothing has to be looked up for.
    Ruled,
}

impl Road {
    /// None for a job that is sent by itself: who holds its key, or has its parent or its batch locked, is waited for, be it
    /// for as long as some caller's transaction lasts; and who locks several of those at once may meet another
    /// who does, in another order.
    pub(super) fn of(job: &NewJob) -> Option<Self> {
        let Some(rules) = &job.rules else {
            return Some(Self::Plain);
        };
        let alone = rules.unique.is_some() || rules.batch.is_some() || !rules.parents.is_empty();
        (!alone).then_some(Self::Ruled)
    }
}

/// What is on its way from one runtime by one road.
#[derive(Default)]
struct Lane {
    /// A caller sends its own job itself.
    alone: bool,
    /// There is a driver.
    driven: bool,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    job: NewJob,
    answer: oneshot::Sender<Result<Inserted>>,
}

enum Turn<'c> {
    Alone(Alone<'c>),
    Queued(oneshot::Receiver<Result<Inserted>>),
}

impl Coalescer {
    pub(super) fn new(storage: StorageHandle, retry_for: Duration, max_batch: usize) -> Self {
        Self {
            storage,
            retry_for,
            max_batch,
            lanes: Mutex::default(),
        }
    }

    /// Stores a job of this road. When the future is dropped the job is stored or not, as with any statement.
    pub(super) async fn insert(self: &Arc<Self>, job: NewJob, road: Road) -> Result<Inserted> {
        // On another executor there is nobody to drive.
        let Ok(runtime) = Handle::try_current() else {
            return self.send_one(&job).await;
        };
        match self.turn(&runtime, road, &job) {
            Turn::Alone(_turn) => self.send_one(&job).await,
            Turn::Queued(answered) => match answered.await {
                Ok(answer) => answer,
                // The driver is gone; whether its last statement was carried out does not matter.
                Err(_) => self.send_one(&job).await,
            },
        }
    }

    fn turn(self: &Arc<Self>, runtime: &Handle, road: Road, job: &NewJob) -> Turn<'_> {
        let way = (runtime.id(), road);
        let mut lanes = self.lanes();
        let lane = lanes.entry(way).or_default();
        if !lane.alone && !lane.driven {
            lane.alone = true;
            return Turn::Alone(Alone {
                coalescer: self,
                way,
            });
        }
        let (answer, answered) = oneshot::channel();
        lane.waiting.push_back(Waiting {
            job: job.clone(),
            answer,
        });
        let driven = mem::replace(&mut lane.driven, true);
        drop(lanes);
        if !driven {
            let driver = Driver {
                coalescer: Arc::clone(self),
                way,
                ended: false,
            };
            runtime.spawn(driver.run());
        }
        Turn::Queued(answered)
    }

    async fn send_one(&self, job: &NewJob) -> Result<Inserted> {
        let jobs = slice::from_ref(job);
        only(self.storage.insert_retrying(jobs, self.retry_for).await?)
    }

    /// Sends a batch. If the storage refuses it, the halves are sent, and so on, until what it refuses
    /// is alone: nobody suffers for a neighbour.
    async fn send(&self, batch: Batch) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let answer = self
                .storage
                .insert_retrying(&part.jobs, self.retry_for)
                .await;
            match answer.and_then(|inserted| counted(inserted, part.jobs.len())) {
                Ok(inserted) => part.answer(inserted.into_iter().map(Ok)),
                Err(error) if part.jobs.len() > 1 && may_be_one_job(&error) => {
                    parts.push(part.split());
                    parts.push(part);
                }
                Err(error) => {
                    let error = Arc::new(error);
                    part.answer(std::iter::repeat_with(|| Err(shared(&error))));
                }
            }
        }
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<(runtime::Id, Road), Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a lane, and forgets it if nothing is on its way there any more.
    fn change<T>(&self, way: (runtime::Id, Road), change: impl FnOnce(&mut Lane) -> T) -> T {
        let mut lanes = self.lanes();
        let lane = lanes.entry(way).or_default();
        let changed = change(lane);
        if !lane.alone && !lane.driven {
            debug_assert!(lane.waiting.is_empty(), "somebody waits for nobody");
            lanes.remove(&way);
        }
        changed
    }
}

/// Whether an error may be due to one job of several. If the storage cannot be used at all, asking again
/// for each half would only make it worse.
fn may_be_one_job(error: &Error) -> bool {
    !error.is_transient() && !matches!(error, Error::Schema(_))
}

/// The turn of a caller that sends its own job.
struct Alone<'c> {
    coalescer: &'c Coalescer,
    way: (runtime::Id, Road),
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.coalescer.change(self.way, |lane| lane.alone = false);
    }
}

/// The task that sends for those who wait on one runtime, by one road.
struct Driver {
    coalescer: Arc<Coalescer>,
    way: (runtime::Id, Road),
    ended: bool,
}

impl Driver {
    async fn run(mut self) {
        loop {
            // Those that were just answered may come again at once: let them, so that they go together.
            tokio::task::yield_now().await;
            let Some(batch) = self.next_batch() else {
                return;
            };
            self.coalescer.send(batch).await;
        }
    }

    /// Takes what has queued up. If that is nothing the driver has ended, in the same moment: who comes
    /// after it does not count on it.
    fn next_batch(&mut self) -> Option<Batch> {
        let max_batch = self.coalescer.max_batch;
        self.coalescer.change(self.way, |lane| {
            let batch = Batch::take(&mut lane.waiting, max_batch);
            if batch.jobs.is_empty() {
                lane.driven = false;
                self.ended = true;
                return None;
            }
            Some(batch)
        })
    }
}

impl Drop for Driver {
    /// Broken off. Those that wait hear of it when their senders are dropped, without the lock.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let left = self.coalescer.change(self.way, |lane| {
            lane.driven = false;
            mem::take(&mut lane.waiting)
        });
        drop(left);
    }
}

/// Jobs of one statement, and who waits for them.
#[derive(Default)]
struct Batch {
    jobs: Vec<NewJob>,
    answers: Vec<oneshot::Sender<Result<Inserted>>>,
}

impl Batch {
    fn take(waiting: &mut VecDeque<Waiting>, max: usize) -> Self {
        let mut batch = Self::default();
        let mut bytes = 0;
        while let Some(next) = waiting.front() {
            bytes += next.job.args.len();
            let full = batch.jobs.len() == max || bytes > MAX_BYTES;
            if full && !batch.jobs.is_empty() {
                break;
            }
            let Some(Waiting { job, answer }) = waiting.pop_front() else {
                break;
            };
            // Who has given up does not want the job any more.
            if !answer.is_closed() {
                batch.jobs.push(job);
                batch.answers.push(answer);
            }
        }
        batch
    }

    fn split(&mut self) -> Self {
        let half = self.jobs.len() / 2;
        Self {
            jobs: self.jobs.split_off(half),
            answers: self.answers.split_off(half),
        }
    }

    fn answer(self, answers: impl Iterator<Item = Result<Inserted>>) {
        for (waiting, answer) in self.answers.into_iter().zip(answers) {
            // A caller that is gone needs no answer.
            let _ = waiting.send(answer);
        }
    }
}

/// One error for many callers: the same words, the same kind, the same causes.
fn shared(error: &Arc<Error>) -> Error {
    let (doing, source) = match error.as_ref() {
        Error::Invalid(why) => return Error::Invalid(why.clone()),
        Error::Schema(why) => return Error::Schema(why.clone()),
        Error::Unavailable { doing, .. }
        | Error::Conflict { doing, .. }
        | Error::Rejected { doing, .. }
        | Error::Storage { doing, .. } => (doing.clone(), Box::new(Shared(Arc::clone(error)))),
        _ => ("insert".into(), Box::new(Shared(Arc::clone(error)))),
    };
    match error.as_ref() {
        Error::Unavailable { .. } => Error::Unavailable { doing, source },
        Error::Conflict { .. } => Error::Conflict { doing, source },
        Error::Rejected { .. } => Error::Rejected { doing, source },
        _ => Error::Storage { doing, source },
    }
}

/// Stands for the source of a shared error.
#[derive(Debug)]
struct Shared(Arc<Error>);

impl Shared {
    fn original(&self) -> &(dyn StdError + 'static) {
        self.0.source().unwrap_or(&*self.0)
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.original(), f)
    }
}

impl StdError for Shared {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.original())
    }
}

#[cfg(test)]
mod tests;
