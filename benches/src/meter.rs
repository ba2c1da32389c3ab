//! What a run cost: log, commits, processor time and memory.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::Result;
use crate::database::{Database, Postgres};
use crate::row::round;

/// Linux counts processor time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Counters at one moment.
pub(crate) struct Meter {
    wal: f64,
    commits: f64,
    own: Option<f64>,
    server: Option<f64>,
}

impl Meter {
    pub(crate) async fn read(database: &Database) -> Result<Self> {
        let own = processor(std::process::id()).map(|(own, _)| own);
        let Some(postgres) = database.postgres() else {
            return Ok(Self {
                wal: 0.0,
                commits: 0.0,
                own,
                server: None,
            });
        };
        Ok(Self {
            wal: postgres.wal().await?,
            commits: postgres.commits().await?,
            own,
            server: server(postgres),
        })
    }

    /// What it cost since then, for each of so many jobs.
    pub(crate) fn per_job(&self, end: &Self, jobs: u64, extra: &mut Map<String, Value>) {
        let jobs = jobs.max(1) as f64;
        let mut add = |name: &str, value: f64| extra.insert(name.into(), json!(round(value)));
        if end.wal > self.wal {
            add("wal_bytes_per_job", (end.wal - self.wal) / jobs);
        }
        for (name, from, to) in [
            ("cpu_own_us_per_job", self.own, end.own),
            ("cpu_server_us_per_job", self.server, end.server),
        ] {
            if let (Some(from), Some(to)) = (from, to) {
                add(name, (to - from) * 1e6 / jobs);
            }
        }
    }

    /// Commits since then for each of so many jobs. Ends the sessions of the database to get at them.
    pub(crate) async fn commits_per_job(
        &self,
        database: &Database,
        jobs: u64,
        extra: &mut Map<String, Value>,
    ) -> Result<()> {
        if let Some(postgres) = database.postgres() {
            postgres.end_sessions().await?;
            let commits = postgres.commits().await? - self.commits;
            let each = commits / jobs.max(1) as f64;
            extra.insert("commits_per_job".into(), json!((each * 1e4).round() / 1e4));
        }
        Ok(())
    }

    /// Per cent of a core that this process and the server used since then, which is so long ago.
    pub(crate) fn idle(&self, end: &Self, seconds: f64, extra: &mut Map<String, Value>) {
        for (name, from, to) in [
            ("own_cpu_percent", self.own, end.own),
            ("server_cpu_percent", self.server, end.server),
        ] {
            if let (Some(from), Some(to)) = (from, to) {
                extra.insert(name.into(), json!(round((to - from) * 100.0 / seconds)));
            }
        }
    }
}

/// The most memory that this process ever had, in MiB.
pub(crate) fn peak_memory() -> Option<f64> {
    memory("VmHWM:")
}

/// The memory that this process has, in MiB.
pub(crate) fn memory_now() -> Option<f64> {
    memory("VmRSS:")
}

fn memory(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(round(kib / 1024.0))
}

/// The process that started another one.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    fields(pid)?.get(1)?.parse().ok()
}

/// Seconds that a process has used, and that its ended children have.
fn processor(pid: u32) -> Option<(f64, f64)> {
    let fields = fields(pid)?;
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let own = ticks(11)? + ticks(12)?;
    let children = ticks(13)? + ticks(14)?;
    Some((own / TICKS_PER_SECOND, children / TICKS_PER_SECOND))
}

/// The fields of a process's `stat` from the state on: the name before may hold anything.
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// Seconds that the server and all its processes have used, the ended ones too.
fn server(postgres: &Postgres) -> Option<f64> {
    let postmaster = postgres.postmaster?;
    let (own, ended) = processor(postmaster)?;
    let processes = std::fs::read_dir(Path::new("/proc")).ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = pids.filter(|&pid| parent(pid) == Some(postmaster));
    let living: f64 = children.filter_map(processor).map(|(own, _)| own).sum();
    Some(own + ended + living)
}
