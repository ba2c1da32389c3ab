//! Taking due jobs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use jobs_core::job::{Priority, QueuePattern, Rules, StoredOptions};
use jobs_core::storage::{ClaimRequest, Claimed, ClaimedJob, Wake, check_runtime};
use jobs_core::{Error, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::control::order;
use crate::floor::{Key, Plan, Seen, Snapshot};
use crate::lanes::Lane;
use crate::pool::Statement;
use crate::store::Store;
use crate::worker::give_back;

const DOING: &str = "claim jobs";

/// The lanes that a request is about, in the order in which they are to be emptied, and the share
/// that each belongs to (counted from 1).
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

    fn queues(&self) -> Vec<&str> {
        self.lanes.iter().map(|(queue, _)| &**queue).collect()
    }

    fn priorities(&self) -> Vec<i16> {
        self.lanes.iter().map(|(_, priority)| *priority).collect()
    }
}

/// Claims in a task of its own: if the caller goes away in the middle, what was taken is given back
/// at once, and not only when the next beat finds a claim that nobody knows.
pub(crate) async fn claim(store: &Arc<Store>, request: &ClaimRequest) -> Result<Claimed> {
    check_runtime(DOING)?;
    let (sender, answer) = oneshot::channel();
    let (store, request) = (store.clone(), request.clone());
    tokio::spawn(async move {
        let claimed = claimed(&store, &request).await;
        let Err(unheard) = sender.send(claimed) else {
            return;
        };
        if unheard.is_ok_and(|claimed| claimed.jobs.is_empty()) {
            return;
        }
        let claims = [request.claim.as_uuid()];
        if let Err(error) = give_back(&store, request.worker, Some(&claims)).await {
            tracing::debug!(%error, "a claim that nobody waited for was not given back; a beat will do it");
        }
    });
    let ended = |_| Error::Unavailable {
        doing: DOING.into(),
        source: "the runtime is shutting down".into(),
    };
    answer.await.map_err(ended)?
}

async fn claimed(store: &Store, request: &ClaimRequest) -> Result<Claimed> {
    let (claimed, resumed) = take(store, request).await?;
    if !resumed {
        return Ok(claimed);
    }
    // Jobs that were left alone may lie where this claim did not look.
    if claimed.jobs.is_empty() && request.limit > 0 {
        return take(store, request).await.map(|(claimed, _)| claimed);
    }
    store.wakes.tell_here(Wake::Queues);
    Ok(claimed)
}

/// Claims once; answers also whether a kind was resumed since the last time.
async fn take(store: &Store, request: &ClaimRequest) -> Result<(Claimed, bool)> {
    store.refresh_lanes().await?;
    let memory = store.memory(request.worker);
    let course = Course::new(store, request, memory.turn());
    let plan = memory.plan(store, request, &course.lanes);
    let (asked, started) = (Utc::now(), Instant::now());
    let statement = bind(store, request, &course, &plan);
    let rows = store.rows(DOING, statement).await?;
    let Some(first) = rows.first() else {
        return Err(Error::Storage {
            doing: DOING.into(),
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
    let paused = patterns(first.get("paused"));
    let mut paused_kinds: Vec<Arc<str>> = names(first.get("paused_kinds"));
    paused_kinds.sort_unstable();
    let order = order(first.get("queue_order"));
    let taken: i32 = first.get("taken");
    let jobs = read(&rows[1..], &course.lanes);
    let cost = started.elapsed();
    release_keys(store, &jobs).await;
    let mut state = memory.state();
    let resumed = state.heed(&paused_kinds);
    if !jobs.is_empty() {
        state.opened(request.claim, jobs.len());
    }
    if jobs.len() == taken as usize {
        let seen = seen(request, &course, &jobs, &paused);
        state
            .floors
            .learn(&plan, &course.lanes, &seen, snapshot, cost, Instant::now());
    } else {
        // Tickets without a body were taken too (and are gone now); from which lanes is not known.
        state.floors.reset();
    }
    drop(state);
    if jobs.len() < request.limit {
        store.lanes.came_back_short();
    }
    let claimed = Claimed {
        jobs: jobs.into_iter().map(|(_, job)| job).collect(),
        paused,
        paused_kinds,
        order,
    };
    Ok((claimed, resumed))
}

/// Keys that are held until a worker takes the job are free now. Should this be lost on the way, the end of the run does it.
async fn release_keys(store: &Store, jobs: &[(usize, ClaimedJob)]) {
    let until_started = |job: &ClaimedJob| {
        let unique = job.rules.as_ref()?.unique.as_ref()?;
        unique.until.ends_at_start().then(|| job.id.as_uuid())
    };
    let started: Vec<Uuid> = jobs
        .iter()
        .filter_map(|(_, job)| until_started(job))
        .collect();
    if started.is_empty() {
        return;
    }
    let statement = store.statement(&store.sql.release_started).bind(started);
    if let Err(failure) = store.rows("free unique keys", statement).await {
        tracing::debug!(error = %failure.error, "unique keys of claimed jobs are not free yet");
    }
}

fn bind(store: &Store, request: &ClaimRequest, course: &Course, plan: &Plan) -> Statement {
    let limit = |limit: usize| limit.min(request.limit).min(i32::MAX as usize) as i32;
    let wants: Vec<_> = request
        .queues
        .iter()
        .map(|share| limit(share.limit))
        .collect();
    store
        .statement(&store.sql.claim)
        .bind(request.worker.as_uuid())
        .bind(request.claim.as_uuid())
        .bind(limit(request.limit))
        .bind(&*request.unknown_kinds)
        .bind(wants)
        .bind(&*course.shares)
        .bind(course.queues())
        .bind(course.priorities())
        .bind(plan.starts.iter().map(floor_at).collect::<Vec<_>>())
        .bind(plan.starts.iter().map(|key| key.1).collect::<Vec<_>>())
}

/// The jobs that were taken, each with the number of its lane, in the order in which they are to
/// run: the statement answers in no order.
fn read(rows: &[PgRow], lanes: &[Lane]) -> Vec<(usize, ClaimedJob)> {
    let mut names = Names::default();
    let mut lane = 0;
    let job = |row: &PgRow| {
        let job = job(row, &mut names);
        let (queue, priority) = (&*job.queue, job.priority.get());
        let is_it = |(q, p): &Lane| *p == priority && q == queue;
        // Mostly the same lane again.
        if !lanes.get(lane).is_some_and(is_it) {
            lane = lanes.iter().position(is_it).unwrap_or(lane);
        }
        (lane, job)
    };
    let mut jobs: Vec<_> = rows.iter().map(job).collect();
    jobs.sort_unstable_by_key(|(lane, job)| (*lane, job.due_at, job.id));
    jobs
}

fn job(row: &PgRow, names: &mut Names) -> ClaimedJob {
    ClaimedJob {
        id: row.get::<Uuid, _>(0).into(),
        kind: names.get(row.get(1)),
        args: row.get_unchecked(2),
        queue: names.get(row.get(3)),
        priority: Priority::new(row.get(4)),
        options: options(row.get_unchecked(5)),
        rules: rules(row.get_unchecked(6)),
        attempt: row.get::<i32, _>(7) as u32,
        lost: row.get::<i32, _>(8) as u32,
        run: row.get(9),
        due_at: row.get(10),
    }
}

fn options(text: Option<&str>) -> Option<Box<StoredOptions>> {
    // What does not parse was written by a later version, or by hand: the kind's own settings then
    // hold.
    let options = text.and_then(|text| serde_json::from_str(text).ok());
    options.map(Box::new)
}

/// Rules that ask for nothing mark a job that the storage itself has to look after.
pub(crate) fn rules(text: Option<&str>) -> Option<Box<Rules>> {
    let rules: Option<Rules> = text.and_then(|text| serde_json::from_str(text).ok());
    rules.filter(|rules| !rules.is_empty()).map(Box::new)
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

/// What the claim saw of each lane, from how many it took of each and how many it still could have
/// taken.
fn seen(
    request: &ClaimRequest,
    course: &Course,
    jobs: &[(usize, ClaimedJob)],
    paused: &[QueuePattern],
) -> Vec<Seen> {
    let is_paused = |queue: &str| paused.iter().any(|paused| paused.matches(queue));
    let mut left: Vec<usize> = request.queues.iter().map(|share| share.limit).collect();
    let mut left_in_all = request.limit;
    let mut jobs = jobs.iter().peekable();
    let lanes = course.lanes.iter().zip(&course.shares).enumerate();
    lanes
        .map(|(number, ((queue, _), share))| {
            let room = &mut left[*share as usize - 1];
            let could = (*room).min(left_in_all);
            let (mut took, mut last) = (0, Key::START);
            while let Some((_, job)) = jobs.next_if(|(lane, _)| *lane == number) {
                took += 1;
                last = Key(job.due_at, job.id.as_uuid());
            }
            *room -= took.min(*room);
            left_in_all -= took.min(left_in_all);
            match took {
                _ if could == 0 || is_paused(queue) => Seen::Nothing,
                took if took < could => Seen::All,
                _ => Seen::UpTo(last),
            }
        })
        .collect()
}

/// What is no pattern was written by hand, and pauses nothing.
fn patterns(names: Vec<String>) -> Vec<QueuePattern> {
    let patterns = names.into_iter().map(QueuePattern::new);
    patterns.filter_map(std::result::Result::ok).collect()
}

fn names(names: Vec<String>) -> Vec<Arc<str>> {
    names.into_iter().map(Arc::from).collect()
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
