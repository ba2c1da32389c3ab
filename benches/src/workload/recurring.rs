//! What recurs: what it costs while nothing is due, and how soon it fires when a lot is.

use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, SubsecRound, Timelike, Utc};
use jobs::{Client, Enqueue};
use serde_json::{Map, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Bench, start_worker};
use crate::Result;
use crate::kinds::Noop;
use crate::meter::Meter;
use crate::row::{Measured, percentiles, round};
use crate::seen::Seen;

/// How many are made at the same time.
const CALLERS: u64 = 64;

/// How long the processor time is watched, before and after.
const SECONDS: f64 = 30.0;

/// Between the making and the moment when all are due.
const AHEAD: i64 = 15;

const PATIENCE: Duration = Duration::from_secs(30);

/// Makes so many with this schedule; their jobs have the numbers from 0.
async fn make(client: &Client, jobs: u64, schedule: &str) -> Result<()> {
    let mut tasks = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, schedule) = (client.clone(), schedule.to_owned());
        tasks.spawn(async move {
            for id in (caller..jobs).step_by(CALLERS as usize) {
                let job = Enqueue::new(Noop::new(id, 0));
                let recurring = client.recurring(format!("bench-{id}"));
                recurring.create(&*schedule, job).await?;
            }
            Ok::<_, jobs::Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// The processor time of a worker with so many beside it of which none is due for months, less that of the
/// same worker before they were made.
pub(super) async fn idle(bench: &Bench<'_>, jobs: u64) -> Result<Measured> {
    let jobs = bench.scaled(jobs);
    let storage = bench.database.connect().await?;
    let worker = start_worker(&storage).await?;
    let mut before = Map::new();
    watch(bench, &mut before).await?;
    let months = Utc::now() + chrono::TimeDelta::days(182);
    let schedule = format!("0 3 {} {} *", months.day().min(28), months.month());
    make(&Client::new(&storage), jobs, &schedule).await?;
    bench.settle_down().await?;
    let mut extra = Map::new();
    watch(bench, &mut extra).await?;
    worker.stop().await;
    let sum = |extra: &Map<String, serde_json::Value>| {
        let of = |name: &str| extra.get(name).and_then(serde_json::Value::as_f64);
        of("own_cpu_percent").unwrap_or(0.0) + of("server_cpu_percent").unwrap_or(0.0)
    };
    let value = sum(&extra) - sum(&before);
    extra.insert("cpu_percent_without".into(), json!(round(sum(&before))));
    Ok(Measured {
        jobs,
        value,
        unit: "% CPU more",
        extra,
    })
}

async fn watch(bench: &Bench<'_>, extra: &mut Map<String, serde_json::Value>) -> Result<()> {
    sleep(Duration::from_secs(3)).await;
    let begin = Meter::read(bench.database).await?;
    let start = Instant::now();
    sleep(bench.time(SECONDS)).await;
    let end = Meter::read(bench.database).await?;
    begin.idle(&end, start.elapsed().as_secs_f64(), extra);
    Ok(())
}

/// From the moment when all are due until the last of their jobs is stored; beside it when they start.
pub(super) async fn due(bench: &Bench<'_>, jobs: u64) -> Result<Measured> {
    let jobs = bench.scaled(jobs);
    let seen = Seen::init(jobs);
    let storage = bench.database.connect().await?;
    let client = Client::new(&storage);
    let at = Utc::now().trunc_subsecs(0) + chrono::TimeDelta::seconds(AHEAD);
    let (second, minute, hour) = (at.second(), at.minute(), at.hour());
    let schedule = format!("{second} {minute} {hour} {} {} *", at.day(), at.month());
    make(&client, jobs, &schedule).await?;
    if Utc::now() + chrono::TimeDelta::seconds(2) > at {
        return Err("making them took too long: try a smaller --scale".into());
    }
    bench.settle_down().await?;
    let worker = start_worker(&storage).await?;
    let mut extra = Map::new();
    sleep((at - Utc::now()).to_std().unwrap_or_default()).await;
    let begin = Meter::read(bench.database).await?;
    let start = Instant::now();
    while seen.distinct() < jobs && start.elapsed() < PATIENCE {
        sleep(Duration::from_millis(5)).await;
    }
    let end = Meter::read(bench.database).await?;
    begin.per_job(&end, jobs, &mut extra);
    if seen.distinct() < jobs {
        extra.insert("never_ran".into(), json!(jobs - seen.distinct()));
    }
    let since = |nanos: u64| nanos as f64 / 1e6 - at.timestamp_millis() as f64;
    let started = (0..jobs).map(|id| seen.started(id)).filter(|&at| at > 0);
    percentiles(started.map(since).collect(), &mut extra);
    extra.insert("all_started_ms".into(), extra["max_ms"].clone());
    let stored = last_stored(&client).await?.ok_or("no job was stored")?;
    worker.stop().await;
    Ok(Measured {
        jobs,
        value: (stored - at).num_microseconds().unwrap_or(i64::MAX) as f64 / 1e3,
        unit: "ms until stored",
        extra,
    })
}

/// When the last job was stored, by the storage's clock.
async fn last_stored(client: &Client) -> Result<Option<DateTime<Utc>>> {
    let mut filter = jobs::inspect::JobFilter {
        limit: 1_000,
        ..Default::default()
    };
    let (mut last, mut more) = (None, true);
    while more {
        let page = client.inspect().jobs(&filter).await?;
        last = last.max(page.jobs.iter().map(|job| job.created_at).max());
        (filter.before, more) = (page.next, page.next.is_some());
    }
    Ok(last)
}
