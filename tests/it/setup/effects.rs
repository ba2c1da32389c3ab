//! What jobs did, as they saw it: a file to which every run adds lines, from whatever process. It is
//! apart from the storage, so that it can bear witness against it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jobs::{JobContext, JobId};

/// The record of one test. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Effects(PathBuf);

/// One line of the record.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    /// What was done: `start`, `end`, …
    pub(crate) what: String,
    pub(crate) job: String,
    pub(crate) attempt: u32,
    pub(crate) lost: u32,
    pub(crate) worker: String,
    pub(crate) pid: u32,
    /// Since 1970.
    pub(crate) at: Duration,
}

impl Effects {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.join("effects"))
    }

    /// Adds a line. One write to a file that is open for appending: lines of several processes do not
    /// mix, and what a process wrote stays when it is killed.
    pub(crate) fn write(&self, what: &str, ctx: &JobContext) {
        let (run, attempt, lost) = (ctx.run(), ctx.attempt(), ctx.lost());
        let (job, worker, pid) = (ctx.id(), ctx.worker(), std::process::id());
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let line = format!(
            "{what} {job} {run} {attempt} {lost} {worker} {pid} {}\n",
            at.as_micros()
        );
        let file = OpenOptions::new().append(true).create(true).open(&self.0);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }

    /// All lines so far, oldest first.
    pub(crate) fn all(&self) -> Vec<Effect> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(parse).collect()
    }

    /// The lines of one sort.
    pub(crate) fn of(&self, what: &str) -> Vec<Effect> {
        let mut all = self.all();
        all.retain(|effect| effect.what == what);
        all
    }

    /// The lines of one sort of one job.
    pub(crate) fn of_job(&self, what: &str, job: JobId) -> Vec<Effect> {
        let job = job.to_string();
        let mut all = self.of(what);
        all.retain(|effect| effect.job == job);
        all
    }

    /// Lets the jobs go on that wait at this gate, and those that will.
    pub(crate) fn open_gate(&self, gate: &str) {
        fs::write(self.gate(gate), "").unwrap();
    }

    /// Waits at a gate.
    pub(crate) async fn pass(&self, gate: &str) {
        let gate = self.gate(gate);
        while !gate.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits at a gate and keeps the thread, as long as the test goes on.
    pub(crate) fn pass_blocking(&self, gate: &str) {
        let gate = self.gate(gate);
        while !gate.exists() && self.0.parent().is_some_and(Path::exists) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn gate(&self, gate: &str) -> PathBuf {
        self.0.with_file_name(format!("gate-{gate}"))
    }
}

fn parse(line: &str) -> Effect {
    let words: Vec<_> = line.split(' ').collect();
    let [what, job, _run, attempt, lost, worker, pid, at] = words[..] else {
        panic!("not a line of the record: {line:?}");
    };
    Effect {
        what: what.into(),
        job: job.into(),
        attempt: attempt.parse().unwrap(),
        lost: lost.parse().unwrap(),
        worker: worker.into(),
        pid: pid.parse().unwrap(),
        at: Duration::from_micros(at.parse().unwrap()),
    }
}
