//! How soon an idle worker starts a job.

use std::process::Stdio;
use std::time::Duration;

use jobs::Client;
use jobs::StorageHandle;
use serde_json::{Map, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{sleep, timeout};

use super::{Bench, start_worker};
use crate::Result;
use crate::kinds::Noop;
use crate::meter::Meter;
use crate::row::{Measured, percentiles};
use crate::seen::{Seen, now};

/// How many jobs are timed.
const JOBS: u64 = 1_000;

/// How many come before, untimed.
const WARM: u64 = 50;

/// Between two jobs: the worker settles the one and goes idle.
const PAUSE: Duration = Duration::from_millis(5);

/// After this long a job counts as not started.
const PATIENCE: Duration = Duration::from_secs(10);

/// Producer and worker share a process and a storage handle, as in most programs.
pub(super) async fn in_one(bench: &Bench<'_>) -> Result<Measured> {
    let jobs = bench.scaled(JOBS) + WARM;
    let seen = Seen::init(jobs);
    seen.watch();
    let storage = bench.database.connect().await?;
    let worker = start_worker(&storage).await?;
    let client = Client::new(&storage);
    sleep(Duration::from_secs(1)).await;
    let mut timing = Timing::begin(bench).await?;
    for id in 0..jobs {
        let enqueued = now();
        client.enqueue(Noop::new(id, 0)).await?;
        let started = async {
            while seen.started(id) == 0 {
                seen.changed.notified().await;
            }
        };
        let started = timeout(PATIENCE, started).await.is_ok();
        timing.note(id, enqueued, started.then(|| seen.started(id)));
        sleep(PAUSE).await;
    }
    let measured = timing.end(bench).await;
    worker.stop().await;
    measured
}

/// Another process runs the worker, and says on its standard output when it starts a job.
pub(super) async fn in_two(bench: &Bench<'_>) -> Result<Measured> {
    let jobs = bench.scaled(JOBS) + WARM;
    let mut worker = tokio::process::Command::new(std::env::current_exe()?)
        .args(["work", &bench.database.url()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let out = worker.stdout.take().ok_or("no standard output")?;
    let mut lines = BufReader::new(out).lines();
    let ready = timeout(PATIENCE, lines.next_line()).await??;
    if ready.as_deref() != Some("ready") {
        return Err("the worker's process did not start".into());
    }
    let storage = bench.database.connect().await?;
    let client = Client::new(&storage);
    sleep(Duration::from_secs(1)).await;
    let mut timing = Timing::begin(bench).await?;
    for id in 0..jobs {
        let enqueued = now();
        client.enqueue(Noop::new(id, 0)).await?;
        let started = async {
            while let Some(line) = lines.next_line().await? {
                let (job, at) = line.split_once(' ').ok_or("not a start")?;
                if job.parse::<u64>()? == id {
                    return Ok(at.parse()?);
                }
            }
            Result::<u64>::Err("the worker's process has ended".into())
        };
        let started = timeout(PATIENCE, started).await.ok().transpose()?;
        timing.note(id, enqueued, started);
        sleep(PAUSE).await;
    }
    let measured = timing.end(bench).await;
    worker.kill().await?;
    measured
}

/// The other process: runs until it is killed.
pub(super) async fn work(storage: StorageHandle) -> Result<()> {
    let room = 1_000_000;
    let seen = Seen::init(room);
    seen.watch();
    let _worker = start_worker(&storage).await?;
    let mut out = tokio::io::stdout();
    out.write_all(b"ready\n").await?;
    out.flush().await?;
    // Jobs are started in the order of their numbers: the other process waits for each.
    for id in 0..room {
        while seen.started(id) == 0 {
            seen.changed.notified().await;
        }
        let line = format!("{id} {}\n", seen.started(id));
        out.write_all(line.as_bytes()).await?;
        out.flush().await?;
    }
    Ok(())
}

struct Timing {
    times: Vec<f64>,
    lost: u64,
    begin: Meter,
}

impl Timing {
    async fn begin(bench: &Bench<'_>) -> Result<Self> {
        Ok(Self {
            times: Vec::new(),
            lost: 0,
            begin: Meter::read(bench.database).await?,
        })
    }

    fn note(&mut self, job: u64, enqueued: u64, started: Option<u64>) {
        match started {
            Some(started) if job >= WARM => {
                let nanos = started.saturating_sub(enqueued);
                self.times.push(nanos as f64 / 1e6);
            }
            Some(_) => {}
            None => self.lost += 1,
        }
    }

    async fn end(self, bench: &Bench<'_>) -> Result<Measured> {
        let mut extra = Map::new();
        let jobs = self.times.len() as u64;
        let end = Meter::read(bench.database).await?;
        self.begin.per_job(&end, jobs + WARM, &mut extra);
        if self.lost > 0 {
            extra.insert("no_start_in_10_s".into(), json!(self.lost));
        }
        let value = percentiles(self.times, &mut extra);
        Ok(Measured {
            jobs,
            value,
            unit: "ms p50",
            extra,
        })
    }
}
