//! The workloads: what is timed, and when a run counts as done.

mod batch;
mod drain;
mod enqueue;
mod idle;
mod latency;
mod mixed;
mod recurring;

use std::time::Duration;

use jobs::Client;
use jobs::RunningWorker;
use jobs::StorageHandle;
use jobs::Worker;
use serde_json::{Map, json};

use crate::Result;
use crate::database::{self, Database, Kind};
use crate::kinds::{Noop, enqueue_many};
use crate::meter::peak_memory;
use crate::options::{Fill, Run, Sort};

/// Jobs that are enqueued with one call.
const CHUNK: u64 = 1_000;

/// A workload: its name, what it measures, where it can run, and how.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    what: &'static str,
    pub(crate) storages: &'static [Kind],
    shape: Shape,
}

/// The parameters of each sort of workload.
enum Shape {
    Bulk(u64),
    Single {
        callers: usize,
        jobs: u64,
        /// Of a kind that a limit counts.
        limited: bool,
    },
    Drain(drain::Drain),
    Latency {
        processes: usize,
    },
    Mixed,
    Idle(idle::Beside),
    RecurringIdle(u64),
    RecurringDue(u64),
    Batch(u64),
}

const ALL: &[Kind] = &[Kind::Postgres, Kind::Sqlite, Kind::Memory];
const KEPT: &[Kind] = &[Kind::Postgres, Kind::Sqlite];
const SERVER: &[Kind] = &[Kind::Postgres];

macro_rules! workloads {
    ($($name:literal $storages:ident $shape:expr, $what:literal;)*) => {
        /// All of them.
        pub(crate) const WORKLOADS: &[Workload] = &[$(Workload {
            name: $name,
            what: $what,
            storages: $storages,
            shape: $shape,
        }),*];
    };
}

use Shape::{Batch, Bulk, Idle, Latency, Mixed, RecurringDue, RecurringIdle, Single};
use drain::Drain;

workloads! {
    "bulk_enqueue" ALL Bulk(100_000), "100,000 jobs from one producer, 1,000 with each call";
    "single_enqueue_c1" ALL Single { callers: 1, jobs: 5_000, limited: false }, "one call for each job, each awaited, from one task";
    "single_enqueue_c16" ALL Single { callers: 16, jobs: 30_000, limited: false }, "the same from 16 tasks";
    "single_enqueue_c64" ALL Single { callers: 64, jobs: 60_000, limited: false }, "the same from 64 tasks";
    "single_enqueue_c256" ALL Single { callers: 256, jobs: 100_000, limited: false }, "the same from 256 tasks";
    "single_enqueue_limited_c64" ALL Single { callers: 64, jobs: 60_000, limited: true }, "the same of a kind of which two may run at once of each of 50 tenants";
    "drain" ALL Shape::Drain(Drain::of(100_000)), "a worker is started on 100,000 jobs, until the database shows all as done";
    "drain_large_args" ALL Shape::Drain(Drain { bytes: 2_000, ..Drain::of(50_000) }), "50,000 jobs with 2,000 bytes of arguments each";
    "drain_kinds" ALL Shape::Drain(Drain { sort: Sort::Kinds, ..Drain::of(100_000) }), "100,000 jobs of 20 kinds in 4 queues";
    "drain_backlog" KEPT Shape::Drain(Drain::of(1_000_000)), "1,000,000 jobs";
    "drain_beside_scheduled" KEPT Shape::Drain(Drain { scheduled: 1_000_000, ..Drain::of(100_000) }), "100,000 jobs beside 1,000,000 that are due tomorrow";
    "drain_beside_blocked" KEPT Shape::Drain(Drain { blocked: 100_000, ..Drain::of(100_000) }), "100,000 jobs beside 100,000 that wait before a limit";
    "drain_unheld" SERVER Shape::Drain(Drain::of(300_000)), "300,000 jobs, to compare with the next";
    "drain_held" SERVER Shape::Drain(Drain { held: true, ..Drain::of(300_000) }), "300,000 jobs while somebody holds a snapshot from before they were enqueued";
    "latency" ALL Latency { processes: 1 }, "an idle worker in the same process: from before the enqueue to the start of the handler";
    "latency_two_processes" KEPT Latency { processes: 2 }, "the same with the worker in another process";
    "mixed" ALL Mixed, "10 tasks enqueue one by one for 15 s while the worker runs";
    "idle" KEPT Idle(idle::Beside::Nothing), "a worker with nothing to do: processor time and memory over 30 s";
    "idle_beside_waiting" KEPT Idle(idle::Beside::Waiting(100_000)), "the same with 100,000 jobs waiting in a queue that it does not serve";
    "idle_beside_scheduled" KEPT Idle(idle::Beside::Scheduled(100_000)), "the same with 100,000 jobs that are due tomorrow";
    "recurring_idle" KEPT RecurringIdle(10_000), "10,000 recurring jobs of which none is due: processor time of worker and server over 30 s, less that without them";
    "recurring_due" KEPT RecurringDue(1_000), "1,000 recurring jobs due at one moment: from that until the last one's job is stored; p50, p99: until they start";
    "continuations" ALL Shape::Drain(Drain { sort: Sort::Parents, ..Drain::of(20_000) }), "20,000 jobs, each with another that waits for it: until all 40,000 are done";
    "batch" KEPT Batch(1_000_000), "a batch of 1,000,000 members: how fast they are stored; then it is sealed and worked off";
    "limited" ALL Shape::Drain(Drain { sort: Sort::TwoAtOnce, workers: 4, ..Drain::of(10_000) }), "10,000 jobs of 50 tenants, two of each at once, 4 workers";
    "rated" ALL Shape::Drain(Drain { sort: Sort::Rated, workers: 4, ..Drain::of(10_000) }), "10,000 jobs of 50 tenants with a rate that is never reached, 4 workers";
    "rated_1000" ALL Shape::Drain(Drain { sort: Sort::ThousandASecond, workers: 4, ..Drain::of(5_000) }), "5,000 jobs of which 1,000 may start in any second, 4 workers: at best 1,250/s, as the first 1,000 start at once";
}

/// The workloads with what they measure, a line each.
pub(crate) fn list() -> String {
    let line = |workload: &Workload| format!("  {:24} {}\n", workload.name, workload.what);
    let lines: String = WORKLOADS.iter().map(line).collect();
    format!("Workloads:\n{lines}")
}

/// What all workloads have in hand.
struct Bench<'r> {
    database: &'r Database,
    run: &'r Run,
}

impl Bench<'_> {
    /// A number of jobs, scaled.
    fn scaled(&self, jobs: u64) -> u64 {
        ((jobs as f64 * self.run.scale) as u64).max(1)
    }

    /// A time, scaled.
    fn time(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64((seconds * self.run.scale).clamp(0.5, self.run.cap))
    }

    /// Enqueues in a process of its own: what measures has no memory of it, and no connections.
    async fn fill(&self, fill: &Fill) -> Result<()> {
        let fill = Fill {
            url: self.database.url(),
            ..fill.clone()
        };
        if let Database::Memory(storage) = self.database {
            return fill_storage(storage, &fill).await;
        }
        let status = tokio::process::Command::new(std::env::current_exe()?)
            .args(fill.to_args())
            .status()
            .await?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the filling process ended with {status}").into()),
        }
    }

    /// Statistics of what was filled in, as a server has them after a minute.
    async fn settle_down(&self) -> Result<()> {
        if let Some(postgres) = self.database.postgres()
            && self.run.analyze
        {
            postgres.analyze().await?;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(())
    }
}

/// One run: in a fresh database, one row of JSON on standard output.
pub(crate) async fn run(run: &Run) -> Result<()> {
    let workload = WORKLOADS
        .iter()
        .find(|workload| workload.name == run.workload)
        .ok_or_else(|| format!("no workload `{}`; see --list", run.workload))?;
    let database = Database::create(run.storage, run.db.as_deref()).await?;
    let bench = Bench {
        database: &database,
        run,
    };
    // The tables are made before anything is timed.
    drop(database.connect().await?);
    let measured = match &workload.shape {
        Shape::Bulk(jobs) => enqueue::bulk(&bench, *jobs).await,
        Shape::Single {
            callers,
            jobs,
            limited,
        } => enqueue::single(&bench, *callers, *jobs, *limited).await,
        Shape::Drain(drain) => drain.run(&bench).await,
        Shape::Latency { processes: 1 } => latency::in_one(&bench).await,
        Shape::Latency { .. } => latency::in_two(&bench).await,
        Shape::Mixed => mixed::run(&bench).await,
        Shape::Idle(beside) => idle::run(&bench, beside).await,
        Shape::RecurringIdle(jobs) => recurring::idle(&bench, *jobs).await,
        Shape::RecurringDue(jobs) => recurring::due(&bench, *jobs).await,
        Shape::Batch(jobs) => batch::run(&bench, *jobs).await,
    };
    let dropped = database.drop().await;
    let mut measured = measured?;
    dropped?;
    if let Some(peak) = peak_memory() {
        measured.extra.insert("peak_memory_mib".into(), json!(peak));
    }
    println!(
        "{}",
        measured.to_json(&run.storage.to_string(), workload.name)
    );
    Ok(())
}

/// The whole life of a filling process.
pub(crate) async fn fill(fill: &Fill) -> Result<()> {
    fill_storage(&database::connect(&fill.url).await?, fill).await
}

async fn fill_storage(storage: &StorageHandle, fill: &Fill) -> Result<()> {
    let client = Client::new(storage);
    let end = fill.first + fill.jobs;
    for first in (fill.first..end).step_by(CHUNK as usize) {
        let chunk = (first..end.min(first + CHUNK)).map(|id| Noop::new(id, fill.bytes));
        enqueue_many(&client, chunk.collect(), fill).await?;
    }
    Ok(())
}

/// The whole life of a worker in a process of its own.
pub(crate) async fn work(url: &str) -> Result<()> {
    latency::work(database::connect(url).await?).await
}

/// A worker with the settings that everybody gets.
async fn start_worker(storage: &StorageHandle) -> Result<RunningWorker> {
    Ok(Worker::builder(storage).start().await?)
}

/// Notes what is not as it should be.
fn oddities(
    seen: &crate::seen::Seen,
    jobs: u64,
    succeeded: u64,
    extra: &mut Map<String, serde_json::Value>,
) {
    for (name, count) in [
        ("never_ran", jobs.saturating_sub(seen.distinct())),
        ("repeated_runs", seen.repeated()),
        ("not_succeeded", jobs.saturating_sub(succeeded)),
    ] {
        if count > 0 {
            extra.insert(name.into(), json!(count));
        }
    }
}
