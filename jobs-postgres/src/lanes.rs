//! Which (queue, priority) are in use: what a claim looks at.
//!
//! The table `lane` is a catalogue for workers to learn from, never the truth: that is in the
//! tickets, and is looked up there once a minute.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jobs_core::Result;
use jobs_core::job::NewJob;
use sqlx::Row;

use crate::store::Store;

/// A lane is announced again after this time, so that one in use is not taken for one that is not.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(12 * 3_600);

/// The catalogue is read again at most this often.
const CATALOGUE: Duration = Duration::from_secs(1);

/// The tickets are looked through for lanes this often, or less often if that takes more than 1 %
/// of all time.
const TICKETS: Duration = Duration::from_secs(60);

/// A queue and a priority.
pub(crate) type Lane = (String, i16);

/// The lanes that this process knows of.
#[derive(Default)]
pub(crate) struct Lanes {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By queue, then priority; the value says when this process announced it, if it did.
    lanes: HashMap<String, Vec<(i16, Option<Instant>)>>,
    /// Whether a claim got less than it wanted since the catalogue was read.
    short: bool,
    next_catalogue: Option<Instant>,
    next_tickets: Option<Instant>,
}

/// Where to look for lanes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Catalogue,
    Tickets,
}

impl Lanes {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lanes of these jobs that have not been announced lately.
    pub(crate) fn unannounced(&self, jobs: &[NewJob]) -> Vec<Lane> {
        let known = self.known();
        let mut fresh: Vec<Lane> = Vec::new();
        let mut last: Option<(&str, i16)> = None;
        for job in jobs {
            let lane = (&*job.queue, job.priority.get());
            // Jobs that are stored together mostly go the same way.
            if last == Some(lane) {
                continue;
            }
            last = Some(lane);
            let (queue, priority) = lane;
            let is_it = |(known, at): &(i16, Option<Instant>)| {
                *known == priority && at.is_some_and(|at| at.elapsed() < ANNOUNCE_AGAIN)
            };
            let announced = known.lanes.get(queue);
            if announced.is_some_and(|lanes| lanes.iter().any(is_it)) {
                continue;
            }
            if !fresh.iter().any(|(q, p)| q == queue && *p == priority) {
                fresh.push((queue.to_owned(), priority));
            }
        }
        fresh
    }

    /// The announcement of these has been committed.
    pub(crate) fn announced(&self, lanes: &[Lane]) {
        self.learn(lanes, Some(Instant::now()));
    }

    /// These were seen in the database.
    pub(crate) fn seen(&self, lanes: &[Lane]) {
        self.learn(lanes, None);
    }

    fn learn(&self, lanes: &[Lane], at: Option<Instant>) {
        if lanes.is_empty() {
            return;
        }
        let mut known = self.known();
        for (queue, priority) in lanes {
            let lanes = known.lanes.entry(queue.clone()).or_default();
            match lanes.binary_search_by_key(priority, |(priority, _)| *priority) {
                Ok(found) => lanes[found].1 = at.or(lanes[found].1),
                Err(place) => lanes.insert(place, (*priority, at)),
            }
        }
    }

    /// A claim got less than it wanted: perhaps there are lanes that it does not know.
    pub(crate) fn came_back_short(&self) {
        self.known().short = true;
    }

    /// Where to look now, if anywhere. Whoever is told to look does it for all.
    fn look(&self) -> Option<Look> {
        let mut known = self.known();
        let now = Instant::now();
        if known.next_tickets.is_none_or(|at| now >= at) {
            known.next_tickets = Some(now + TICKETS);
            return Some(Look::Tickets);
        }
        if known.short && known.next_catalogue.is_none_or(|at| now >= at) {
            known.short = false;
            known.next_catalogue = Some(now + CATALOGUE);
            return Some(Look::Catalogue);
        }
        None
    }

    /// What the look cost, or that it failed.
    fn looked(&self, look: Look, cost: Option<Duration>) {
        let mut known = self.known();
        let Some(cost) = cost else {
            known.short = true;
            known.next_catalogue = None;
            known.next_tickets = known.next_tickets.filter(|_| look != Look::Tickets);
            return;
        };
        if look == Look::Tickets {
            known.next_tickets = Some(Instant::now() + TICKETS.max(cost * 100));
        }
    }

    /// The priorities in use in a queue, ascending.
    pub(crate) fn priorities(&self, queue: &str) -> Vec<i16> {
        let known = self.known();
        let lanes = known.lanes.get(queue).into_iter().flatten();
        lanes.map(|(priority, _)| *priority).collect()
    }

    /// All queues known, by name.
    pub(crate) fn queues(&self) -> Vec<String> {
        let mut queues: Vec<_> = self.known().lanes.keys().cloned().collect();
        queues.sort_unstable();
        queues
    }
}

impl Store {
    /// Looks for lanes that this process does not know, if it is time.
    pub(crate) async fn refresh_lanes(&self) -> Result<()> {
        while let Some(look) = self.lanes.look() {
            let sql = match look {
                Look::Catalogue => &self.sql.lanes,
                Look::Tickets => &self.sql.lanes_in_use,
            };
            let started = Instant::now();
            let rows = self.rows("look for queues", self.statement(sql)).await;
            let cost = rows.is_ok().then(|| started.elapsed());
            self.lanes.looked(look, cost);
            let lanes: Vec<Lane> = rows?.iter().map(|row| (row.get(0), row.get(1))).collect();
            self.lanes.seen(&lanes);
        }
        Ok(())
    }
}
