//! Claims jobs for the free slots and hands them to runners.
//!
//! One dispatcher serves all queues and kinds of a worker, so that an idle worker asks one question a
//! second and a busy one takes many jobs with each.
//!
//! kill -9 or a lost connection while a claim is under way: either it was not carried out, or its jobs
//! are this worker's without its knowing. A living worker's next beat gives them back (the claim is
//! not in the ledger), a dead one's are rescued.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::crew::Crew;
use super::held::Taken;
use super::prefetch::Prefetch;
use super::queues::Queues;
use crate::clock::jittered;
use crate::error::Result;
use crate::lifecycle::Outcome;
use crate::storage::{Claimed, ClaimedJob, HINTED_AHEAD, QueueShare, Wake};

/// How many jobs one claim asks for at most.
const MOST: usize = 1_000;

/// How long the dispatcher waits for a hint before it asks when the next job falls due: a busy queue
/// gives one sooner, and then the question would have been for nothing.
const BEFORE_ASKING: Duration = Duration::from_millis(20);

/// How long a job may be held unstarted while every slot is busy.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest pause between two tries to reach a storage that is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long it is relied on what was said of the next due time, where hints come from other processes too: of what is stored
/// meanwhile for a time before that a hint tells. The half second is for the hint's way.
const OUTLOOK: Duration = HINTED_AHEAD.saturating_sub(Duration::from_millis(500));

/// What is known of jobs that are not due yet.
#[derive(Debug)]
struct Outlook {
    asked: Instant,
    /// When the first of them is due.
    due: Option<Instant>,
    /// How many jobs had ended by then: one that has ended since may be due again.
    ended: u64,
}

/// The loop that claims.
pub(super) struct Dispatcher {
    crew: Arc<Crew>,
    stop: CancellationToken,
    prefetch: Prefetch,
    /// There may be due jobs that were not taken yet.
    more: bool,
    /// Some queue was given all that there is room for under its cap.
    capped: bool,
    /// When to look again although nobody gave a hint.
    look_at: Instant,
    /// The next due time was asked for since the queues ran dry, or is known.
    asked: bool,
    /// When to ask for it, if that stands out.
    ask_at: Option<Instant>,
    /// What was answered; none if there was news since.
    outlook: Option<Outlook>,
    /// The storage gives no hints any more.
    deaf: bool,
    /// How far the turns of weighted queues have come.
    turn: usize,
    pause: Duration,
}

impl Dispatcher {
    pub(super) fn new(crew: Arc<Crew>, stop: CancellationToken) -> Self {
        let (now, slots) = (Instant::now(), crew.config.concurrency);
        Self {
            crew,
            stop,
            prefetch: Prefetch::new(now, slots),
            more: true,
            capped: false,
            look_at: now,
            asked: false,
            ask_at: None,
            outlook: None,
            deaf: false,
            turn: 0,
            pause: Duration::ZERO,
        }
    }

    pub(super) async fn run(mut self) {
        // Listening comes before the first look, so that nothing falls between the two.
        let mut wake = self.crew.storage.wake();
        while !self.stop.is_cancelled() {
            if self.more
                && !self.crew.serving.is_quiet()
                && let room @ 1.. = self.room()
            {
                self.fill(room).await;
                continue;
            }
            self.rest(&mut wake).await;
        }
        self.crew.appetite.dry.store(false, Ordering::Release);
    }

    /// How many jobs to ask for now; 0 if there is nowhere to put them, or it is not worth a claim yet.
    fn room(&mut self) -> usize {
        let appetite = &self.crew.appetite;
        let ran = Duration::from_nanos(appetite.ran.load(Ordering::Relaxed));
        self.prefetch
            .look(Instant::now(), appetite.ended.load(Ordering::Relaxed), ran);
        let target = self.prefetch.target();
        self.crew
            .appetite
            .low_water
            .store(target / 2, Ordering::Relaxed);
        if self.crew.is_lost() || self.crew.settler.is_full() {
            return 0;
        }
        // First say that we want to know, then look: a runner that takes a job in between tells us.
        self.crew.appetite.hungry.store(true, Ordering::Release);
        let (held, free) = self.crew.held.len_and_free();
        if held > target / 2 {
            return 0;
        }
        (free + target).saturating_sub(held).min(MOST)
    }

    async fn fill(&mut self, room: usize) {
        self.crew.appetite.dry.store(false, Ordering::Release);
        let queues = self.crew.serving.now();
        self.capped = false;
        let rooms = self.rooms();
        let shares = queues.shares(room, &rooms, fastrand::f64);
        let got = match self.claim(&queues, room, shares, &rooms).await {
            Ok(got) => got,
            Err(error) => return self.claim_failed(&error).await,
        };
        let mut more = got >= room;
        if got < room && queues.has_shares() {
            let (left, rooms) = (room - got, self.rooms());
            let rest = queues.remainder(left, &rooms, fastrand::f64);
            match self.claim(&queues, left, rest, &rooms).await {
                Ok(got) => more = got >= left,
                Err(error) => return self.claim_failed(&error).await,
            }
        }
        self.more = more || !Arc::ptr_eq(&queues, &self.crew.serving.now());
        self.pause = Duration::ZERO;
        if got > 0 {
            self.outlook = None;
        }
        let outlook = self.outlook.as_ref().filter(|known| self.holds(known));
        self.asked = outlook.is_some();
        self.ask_at = None;
        if !self.more {
            self.crew.appetite.dry.store(true, Ordering::Release);
            let poll = Instant::now() + jittered(self.crew.config.poll_interval);
            let due = outlook.and_then(|known| known.due);
            self.look_at = due.map_or(poll, |due| due.min(poll));
        }
    }

    /// Whether what was said is still to be relied on.
    fn holds(&self, known: &Outlook) -> bool {
        let now = Instant::now();
        self.crew.storage.wakes_across_processes()
            && now.duration_since(known.asked) < OUTLOOK
            && known.due.is_none_or(|due| due > now)
            && known.ended == self.crew.appetite.ended.load(Ordering::Relaxed)
    }

    /// How many jobs to ask for of the queues of each cap.
    fn rooms(&self) -> Vec<usize> {
        // First say that we want to know, then look: as in `room`.
        self.crew.appetite.cap_hungry.store(true, Ordering::Release);
        self.crew.held.rooms(self.prefetch.target())
    }

    async fn claim_failed(&mut self, error: &crate::Error) {
        self.pause = (self.pause * 2).clamp(Duration::from_millis(20), LONGEST_PAUSE);
        warn!(%error, "no jobs could be claimed; trying again");
        let pause = tokio::time::sleep(jittered(self.pause));
        tokio::select! { () = pause => {}, () = self.stop.cancelled() => {} }
    }

    async fn claim(
        &mut self,
        queues: &Queues,
        limit: usize,
        shares: Vec<QueueShare>,
        rooms: &[usize],
    ) -> Result<usize> {
        let claim = self.crew.ledger.ask();
        let request = self.crew.claim_request(claim, limit, shares);
        let answer = self.crew.storage.claim(&request).await;
        let mut claimed = match answer {
            Ok(claimed) => claimed,
            Err(error) => {
                self.crew.ledger.doubt(claim);
                return Err(error);
            }
        };
        let jobs = std::mem::take(&mut claimed.jobs);
        let got = jobs.len();
        self.crew.ledger.got(claim, got);
        self.prefetch
            .weigh(got, jobs.iter().map(|job| job.args.len()).sum());
        self.capped |= self.is_capped(&jobs, rooms);
        let taken = Instant::now();
        let names = jobs.iter().map(|job| &*job.queue);
        let ranks = queues.ranks(names, &mut self.turn);
        let jobs = jobs.into_iter().map(|job| Taken { job, claim, taken });
        let known = ranks
            .into_iter()
            .zip(jobs)
            .filter(|(_, taken)| self.crew.knows(taken));
        let known: Vec<_> = known.collect();
        self.crew.start_runners(self.crew.held.put(known));
        self.heed(&claimed);
        Ok(got)
    }

    /// Whether a queue got all that there was room for under its cap: then there may be more of it.
    fn is_capped(&self, jobs: &[ClaimedJob], rooms: &[usize]) -> bool {
        let mut left = rooms.to_vec();
        if !left.is_empty() {
            let caps = self.crew.held.caps();
            let counted = jobs.iter().filter_map(|job| caps.of(&job.queue));
            counted.for_each(|cap| left[cap] = left[cap].saturating_sub(1));
        }
        left.contains(&0)
    }

    /// Waits for a reason to look again.
    async fn rest(&mut self, wake: &mut broadcast::Receiver<Wake>) {
        let now = Instant::now();
        let dry = !self.more && !self.asked;
        let until = if dry {
            // Not from now on: hints that are not for this worker would put it off for ever.
            let ask_at = *self.ask_at.get_or_insert(now + BEFORE_ASKING);
            self.look_at.min(ask_at)
        } else {
            self.look_at
        };
        // Nobody tells when the settler has room again, or nothing left.
        let quiet = self.crew.serving.is_quiet();
        let settler = &self.crew.settler;
        let ending = quiet && self.crew.held.is_empty() && !settler.is_empty();
        let until = match settler.is_full() || ending {
            true => until.min(now + BEFORE_ASKING),
            false => until,
        };
        let (crew, stop) = (Arc::clone(&self.crew), self.stop.clone());
        // Asked for before looking, so that one that ends in between is noticed.
        let runner_ended = crew.runner_ended.notified();
        tokio::pin!(runner_ended);
        if quiet {
            runner_ended.as_mut().enable();
            if crew.held.is_empty() && crew.settler.is_empty() {
                crew.serving.is_idle();
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            hint = wake.recv(), if !self.deaf => self.hints(hint, wake).await,
            () = self.crew.appetite.notify.notified() => self.more |= self.capped,
            () = self.crew.serving.changed.notified() => self.told().await,
            () = runner_ended, if quiet => {}
            () = tokio::time::sleep_until(until.into()) => self.timer(dry).await,
        }
    }

    async fn timer(&mut self, dry: bool) {
        let now = Instant::now();
        if now >= self.look_at {
            // Hints may be lost; and jobs that others took may have come back.
            self.more = true;
            self.look_at = now + jittered(self.crew.config.poll_interval);
            let stale = self.crew.held.take_stale(now, PATIENCE);
            self.release(stale, "held by a busy worker");
        } else if dry {
            self.asked = true;
            let ended = self.crew.appetite.ended.load(Ordering::Acquire);
            // What is not recorded yet may be due again before anything that the storage knows of.
            let settled = self.crew.settler.is_empty();
            let request = self.crew.claim_request_for_looking();
            // A failure costs nothing: the poll comes anyway.
            if let Ok(due) = self.crew.storage.next_due(&request).await {
                let due = due.and_then(|due| Instant::now().checked_add(due));
                self.look_at = due.map_or(self.look_at, |due| due.min(self.look_at));
                let asked = now;
                self.outlook = settled.then_some(Outlook { asked, due, ended });
            }
        }
    }

    /// Takes in a hint and all that came with it.
    async fn hints(
        &mut self,
        first: Result<Wake, broadcast::error::RecvError>,
        wake: &mut broadcast::Receiver<Wake>,
    ) {
        use broadcast::error::{RecvError, TryRecvError};
        let mut next = match first {
            Err(RecvError::Closed) => {
                // An ended channel is always ready, and comes before the timer: who went on asking it would never poll.
                self.deaf = true;
                return;
            }
            Err(RecvError::Lagged(_)) => Some(Wake::Everything),
            Ok(hint) => Some(hint),
        };
        let (mut look_for_pauses, mut revoked) = (false, HashSet::new());
        while let Some(hint) = next {
            match hint {
                Wake::Jobs(queue) if self.crew.serves(&queue) => self.news(),
                Wake::Jobs(_) => {}
                Wake::Cancelled(job) => drop(revoked.insert(job)),
                Wake::Queues | Wake::Everything => {
                    self.news();
                    look_for_pauses = true;
                    if matches!(hint, Wake::Everything) {
                        self.crew.check_revoked.notify_one();
                    }
                }
            }
            next = match wake.try_recv() {
                Ok(hint) => Some(hint),
                Err(TryRecvError::Lagged(_)) => Some(Wake::Everything),
                Err(TryRecvError::Empty | TryRecvError::Closed) => None,
            };
        }
        if !revoked.is_empty() {
            self.crew.revoke(&revoked);
        }
        if look_for_pauses {
            let request = self.crew.claim_request_for_looking();
            match self.crew.storage.claim(&request).await {
                Ok(claimed) => self.heed(&claimed),
                Err(error) => debug!(%error, "which queues are paused is not known yet"),
            }
        }
    }

    /// There may be due jobs, or others may be due earlier than was known.
    fn news(&mut self) {
        self.more = true;
        self.outlook = None;
    }

    /// The worker was told something by its handle.
    async fn told(&mut self) {
        self.news();
        let queues = self.crew.serving.now();
        let held = &self.crew.held;
        let others = held.take_if(|taken| !queues.serves(&taken.job.queue));
        self.release(others, "its queue is not served here any more");
        if let Err(error) = self.crew.storage.register(&self.crew.info()).await {
            debug!(%error, "others do not see which queues this worker serves now");
        }
    }

    /// Does as a claim has said: takes over the order of queues, gives back what must not start.
    fn heed(&mut self, told: &Claimed) {
        self.more |= self.crew.serving.heed(told.order.as_ref());
        if !told.paused.is_empty() {
            let paused = |queue: &str| told.paused.iter().any(|paused| paused.matches(queue));
            let jobs = self.crew.held.take_if(|taken| paused(&taken.job.queue));
            self.release(jobs, "its queue was paused");
        }
        if !told.paused_kinds.is_empty() {
            let paused = |taken: &Taken| told.paused_kinds.contains(&taken.job.kind);
            let jobs = self.crew.held.take_if(paused);
            self.release(jobs, "its kind was paused");
        }
    }

    fn release(&self, jobs: Vec<Taken>, why: &str) {
        for taken in jobs {
            self.crew
                .settle_unstarted(&taken, Outcome::Released { reason: why.into() });
        }
    }
}

#[cfg(test)]
mod tests;
