//! Taking due jobs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use jobs_core::job::{ClaimId, JobId, Priority};
use jobs_core::storage::{ClaimRequest, Claimed, ClaimedJob};
use jobs_core::{Error, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::floor::{Floors, Key, Plan, Seen, Snapshot};
use crate::lanes::Lane;
use crate::pool::Statement;
use crate::store::{Store, bounds};

/// What a storage remembers for one worker from one call to the next.
#[derive(Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    floors: Floors,
    unknown_kinds: Arc<[String]>,
    losses: u64,
    turn: usize,
    used: Option<Instant>,
    /// Claims below this were looked at by an earlier beat.
    pub(crate) beaten: Option<ClaimId>,
    pub(crate) full_beat: Option<Instant>,
}

impl Memory {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_recent(&self) -> bool {
        let used = self.state().used;
        used.is_some_and(|used| used.elapsed() < Duration::from_secs(60))
    }

    /// Where the claim starts. Forgets the floors first if what was seen before says nothing about now.
    fn plan(&self, store: &Store, request: &ClaimRequest, lanes: &[Lane]) -> Plan {
        let mut state = self.state();
        let losses = store.pool.losses();
        if state.losses != losses || state.unknown_kinds != request.unknown_kinds {
            state.floors.reset();
            state.losses = losses;
            state.unknown_kinds = request.unknown_kinds.clone();
        }
        state.used = Some(Instant::now());
        state.floors.plan(lanes, Instant::now())
    }

    /// Whose turn it is among the queues of a pattern.
    fn turn(&self) -> usize {
        let mut state = self.state();
        state.turn = state.turn.wrapping_add(1);
        state.turn
    }
}

/// The lanes that a request is about, in the order in which they are to be emptied, and the share that each
/// belongs to (counted from 1).
#[derive(Default)]
struct Course {
    lanes: Vec<Lane>,
    shares: Vec<i32>,
}

impl Course {
    fn new(store: &Store, request: &ClaimRequest, turn: usize) -> Self {
        let mut course = Self::default();
        let mut served: HashSet<String> = HashSet::new();
        for (number, share) in request.queues.iter().enumerate() {
            let queues = match share.queues.exact() {
                Some(queue) => vec![queue.to_owned()],
                None => {
                    let mut queues = store.lanes.queues();
                    queues.retain(|queue| share.queues.matches(queue));
                    queues
                }
            };
            let mut lanes: Vec<Lane> = Vec::new();
            for queue in queues {
                if served.insert(queue.clone()) {
                    let priorities = store.lanes.priorities(&queue);
                    lanes.extend(priorities.into_iter().map(|p| (queue.clone(), p)));
                }
            }
            // The more urgent first, whatever the queue; then each queue in turn.
            let queues = lanes.len().max(1);
            lanes.rotate_left(turn % queues);
            lanes.sort_by_key(|(_, priority)| *priority);
            course
                .shares
                .extend(lanes.iter().map(|_| number as i32 + 1));
            course.lanes.append(&mut lanes);
        }
        course
    }
}

pub(crate) async fn claim(store: &Store, request: &ClaimRequest) -> Result<Claimed> {
    store.refresh_lanes().await?;
    let memory = store.memory(request.worker);
    let course = Course::new(store, request, memory.turn());
    let plan = memory.plan(store, request, &course.lanes);
    let (asked, started) = (Utc::now(), Instant::now());
    let statement = bind(store, request, &course, &plan);
    let rows = store.rows("claim jobs", statement).await?;
    let Some(first) = rows.first() else {
        return Err(Error::Storage {
            doing: "claim jobs".into(),
            source: "the statement answered nothing".into(),
        });
    };
    let now: DateTime<Utc> = first.get("now");
    store.clock.learn(asked, now);
    let snapshot = Snapshot {
        at: now,
        xmin: first.get("xmin"),
        xmax: first.get("xmax"),
    };
    let paused: Vec<String> = first.get("paused");
    let mut tickets = read(&rows);
    sort(&mut tickets, &course.lanes);
    let seen = seen(request, &course, &tickets, &paused);
    memory.state().floors.learn(
        &plan,
        &course.lanes,
        &seen,
        snapshot,
        started.elapsed(),
        Instant::now(),
    );
    if tickets.len() < request.limit {
        store.lanes.came_back_short();
    }
    Ok(Claimed {
        jobs: complete(store, tickets).await?,
        paused: covered(request, paused),
    })
}

fn bind(store: &Store, request: &ClaimRequest, course: &Course, plan: &Plan) -> Statement {
    let limit = |limit: usize| limit.min(request.limit).min(i32::MAX as usize) as i32;
    let wants: Vec<_> = request
        .queues
        .iter()
        .map(|share| limit(share.limit))
        .collect();
    // The days that most jobs are of; other bodies cost a second statement.
    let now = store.clock.now();
    let low = JobId::floor(now - Duration::from_secs(86_400)).as_uuid();
    let high = JobId::floor(now + Duration::from_secs(3_600)).as_uuid();
    store
        .statement(&store.sql.claim)
        .bind(request.worker.as_uuid())
        .bind(request.claim.as_uuid())
        .bind(limit(request.limit))
        .bind(&*request.unknown_kinds)
        .bind(wants)
        .bind(&*course.shares)
        .bind(
            course
                .lanes
                .iter()
                .map(|(queue, _)| &**queue)
                .collect::<Vec<_>>(),
        )
        .bind(
            course
                .lanes
                .iter()
                .map(|(_, priority)| *priority)
                .collect::<Vec<_>>(),
        )
        .bind(plan.starts.iter().map(floor_at).collect::<Vec<_>>())
        .bind(plan.starts.iter().map(|key| key.1).collect::<Vec<_>>())
        .bind(low)
        .bind(high)
}

/// A ticket that was taken; without a body if that was not found at once.
struct Taken {
    lane: usize,
    key: Key,
    job: ClaimedJob,
    has_body: bool,
}

fn read(rows: &[PgRow]) -> Vec<Taken> {
    let mut names = Names::default();
    rows.iter()
        .filter_map(|row| {
            let id: Option<Uuid> = row.get(3);
            Some(taken(row, id?, &mut names))
        })
        .collect()
}

fn taken(row: &PgRow, id: Uuid, names: &mut Names) -> Taken {
    let run_at: DateTime<Utc> = row.get(2);
    let args: Option<String> = row.get_unchecked(6);
    Taken {
        lane: 0,
        key: Key(run_at, id),
        has_body: args.is_some(),
        job: ClaimedJob {
            id: id.into(),
            kind: names.get(row.get(5)),
            args: args.unwrap_or_default(),
            queue: names.get(row.get(0)),
            priority: Priority::new(row.get(1)),
            options: options(row.get_unchecked(7)),
            attempt: row.get::<Option<i32>, _>(8).unwrap_or_default() as u32,
            lost: row.get::<Option<i32>, _>(9).unwrap_or_default() as u32,
            run: row.get(4),
            due_at: run_at,
        },
    }
}

fn options(text: Option<&str>) -> Option<Box<jobs_core::job::StoredOptions>> {
    // What does not parse was written by a later version, or by hand: the kind's own settings then hold.
    text.and_then(|text| serde_json::from_str(text).ok())
        .map(Box::new)
}

/// One copy of each name of a queue or kind.
#[derive(Default)]
struct Names(Vec<Arc<str>>);

impl Names {
    fn get(&mut self, name: &str) -> Arc<str> {
        // Few names, mostly the last one again: a short list beats a table.
        if let Some(known) = self.0.iter().rev().take(64).find(|known| &***known == name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.0.push(name.clone());
        name
    }
}

/// In the order of the lanes, and within a lane by due time: the statement answers in no order.
fn sort(tickets: &mut [Taken], lanes: &[Lane]) {
    let mut last = 0;
    for ticket in tickets.iter_mut() {
        let (queue, priority) = (&*ticket.job.queue, ticket.job.priority.get());
        let is_it = |(q, p): &Lane| q == queue && *p == priority;
        if !is_it(&lanes[last]) {
            last = lanes.iter().position(is_it).unwrap_or(last);
        }
        ticket.lane = last;
    }
    tickets.sort_unstable_by_key(|ticket| (ticket.lane, ticket.key));
}

/// What the claim saw of each lane, from how many it took of each and how many it still could have taken.
fn seen(
    request: &ClaimRequest,
    course: &Course,
    tickets: &[Taken],
    paused: &[String],
) -> Vec<Seen> {
    let mut left: Vec<usize> = request.queues.iter().map(|share| share.limit).collect();
    let mut left_in_all = request.limit;
    let mut tickets = tickets.iter().peekable();
    let lanes = course.lanes.iter().zip(&course.shares).enumerate();
    lanes
        .map(|(number, ((queue, _), share))| {
            let room = &mut left[*share as usize - 1];
            let could = (*room).min(left_in_all);
            let (mut took, mut last) = (0, Key::START);
            while let Some(ticket) = tickets.next_if(|ticket| ticket.lane == number) {
                took += 1;
                last = ticket.key;
            }
            *room -= took.min(*room);
            left_in_all -= took.min(left_in_all);
            match took {
                _ if could == 0 || paused.contains(queue) => Seen::Nothing,
                took if took < could => Seen::All,
                _ => Seen::UpTo(last),
            }
        })
        .collect()
}

/// Reads the bodies that the claim could not: of other days, or newer than its snapshot. What has none is void.
async fn complete(store: &Store, mut tickets: Vec<Taken>) -> Result<Vec<ClaimedJob>> {
    let missing = || tickets.iter().filter(|ticket| !ticket.has_body);
    if missing().next().is_some() {
        let (low, high) = bounds(missing().map(|ticket| ticket.job.id));
        let statement = store
            .statement(&store.sql.bodies)
            .bind(
                missing()
                    .map(|ticket| ticket.job.id.as_uuid())
                    .collect::<Vec<_>>(),
            )
            .bind(missing().map(|ticket| ticket.job.run).collect::<Vec<_>>())
            .bind(low)
            .bind(high);
        let rows = store.rows("read claimed jobs", statement).await?;
        let mut bodies: std::collections::HashMap<Uuid, PgRow> =
            rows.into_iter().map(|row| (row.get(0), row)).collect();
        for ticket in tickets.iter_mut().filter(|ticket| !ticket.has_body) {
            let Some(row) = bodies.remove(&ticket.job.id.as_uuid()) else {
                continue;
            };
            ticket.has_body = true;
            ticket.job.args = row.get_unchecked(1);
            ticket.job.options = options(row.get_unchecked(2));
            ticket.job.attempt = row.get::<i32, _>(3) as u32;
            ticket.job.lost = row.get::<i32, _>(4) as u32;
        }
    }
    tickets.retain(|ticket| ticket.has_body);
    Ok(tickets.into_iter().map(|ticket| ticket.job).collect())
}

fn covered(request: &ClaimRequest, paused: Vec<String>) -> Vec<Arc<str>> {
    let covers = |queue: &String| {
        request
            .queues
            .iter()
            .any(|share| share.queues.matches(queue))
    };
    paused.into_iter().filter(covers).map(Arc::from).collect()
}

pub(crate) async fn next_due(store: &Store, request: &ClaimRequest) -> Result<Option<Duration>> {
    store.refresh_lanes().await?;
    let memory = store.memory(request.worker);
    let course = Course::new(store, request, 0);
    let plan = memory.plan(store, request, &course.lanes);
    let statement = store
        .statement(&store.sql.next_due)
        .bind(
            course
                .lanes
                .iter()
                .map(|(queue, _)| &**queue)
                .collect::<Vec<_>>(),
        )
        .bind(
            course
                .lanes
                .iter()
                .map(|(_, priority)| *priority)
                .collect::<Vec<_>>(),
        )
        .bind(plan.starts.iter().map(floor_at).collect::<Vec<_>>())
        .bind(plan.starts.iter().map(|key| key.1).collect::<Vec<_>>())
        .bind(&*request.unknown_kinds);
    let row = store.row("look for the next job", statement).await?;
    let wait: Option<f64> = row.get("wait");
    Ok(wait.map(|wait| Duration::try_from_secs_f64(wait.max(0.0)).unwrap_or(Duration::MAX)))
}

/// The beginning has no name that the driver could send.
fn floor_at(key: &Key) -> Option<DateTime<Utc>> {
    (*key != Key::START).then_some(key.0)
}
