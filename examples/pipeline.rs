//! A pipeline on a schedule: import the files of a folder in a batch, analyse each, no more than two of a
//! directory at once, join the results, write a report.
//!
//! `cargo run --example pipeline -- FOLDER REPORT "0 3 * * *"`; without a schedule, every two seconds. It ends
//! when it has written two reports.
//!
//! ```text
//! schedule ─> pipeline ─> [ import ─> analyse ] for each file ─> join ─> report
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jobs::inspect::JobFilter;
use jobs::prelude::*;
use jobs::{BatchId, State};
use serde::{Deserialize, Serialize};

/// What is passed from job to job: small, and where the rest is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Imported {
    path: PathBuf,
    bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Analysis {
    directory: String,
    lines: u64,
    bytes: u64,
}

/// Files, lines and bytes of each directory.
type Summary = BTreeMap<String, (u64, u64, u64)>;

/// One run of it all. The batch is stored with what follows it, or, should the process die here, not at all.
#[job]
async fn pipeline(folder: PathBuf, to: PathBuf) -> anyhow::Result<BatchId> {
    let mut batch = Batch::new().name(format!("files of {}", folder.display()));
    for path in files_in(&folder)? {
        let directory = path.parent().unwrap_or(&folder).display().to_string();
        batch = batch.add(import.enqueue(path).then(analyse.with(directory)));
    }
    let follows = join.enqueue().then(report.with(to));
    Ok(batch.on_success(follows).await?.id())
}

#[job(queue = "import")]
fn import(path: PathBuf) -> io::Result<Imported> {
    let bytes = std::fs::metadata(&path)?.len();
    Ok(Imported { path, bytes })
}

/// Follows `import`, whose result is the first argument. The limit is counted by the directory.
#[job(queue = "analyse", concurrency(max = 2, key = "{directory}"))]
fn analyse(imported: Imported, directory: String) -> io::Result<Analysis> {
    let text = std::fs::read(&imported.path)?;
    Ok(Analysis {
        lines: text.iter().filter(|&&byte| byte == b'\n').count() as u64,
        bytes: imported.bytes,
        directory,
    })
}

/// Runs when the batch has succeeded, and reads what its members returned.
#[job]
async fn join(ctx: JobContext) -> Result<Summary, JobError> {
    let batch = ctx.parent_batch().ok_or("it follows a batch")?;
    let mut summary = Summary::new();
    for analysis in batch.results::<Analyse>().await? {
        let (files, lines, bytes) = summary.entry(analysis.directory).or_default();
        (*files, *lines, *bytes) = (*files + 1, *lines + analysis.lines, *bytes + analysis.bytes);
    }
    Ok(summary)
}

/// Follows `join`.
#[job]
fn report(summary: Summary, to: PathBuf) -> io::Result<()> {
    let lines = summary.iter().map(|(directory, (files, lines, bytes))| {
        format!("{directory}: {files} files, {lines} lines, {bytes} bytes\n")
    });
    std::fs::write(&to, lines.collect::<String>())?;
    let files: u64 = summary.values().map(|(files, ..)| files).sum();
    println!("{files} files, see {}", to.display());
    Ok(())
}

fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_in(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "src".into());
    let to = args.next().unwrap_or_else(|| "report.txt".into());
    let schedule = args.next().unwrap_or_else(|| "*/2 * * * * *".into());
    let client = Client::new(jobs::connect("memory:").await?);
    client.install();
    let worker = Worker::builder(client.storage().clone()).start().await?;

    let recurring = client.recurring("report");
    let made = recurring
        .put(schedule, pipeline.enqueue(folder.into(), to.into()))
        .await?;
    println!("it runs {}", made.describe());

    // A service would go on until it is told to stop.
    let written = JobFilter {
        kind: Some("report".into()),
        state: Some(State::Succeeded),
        ..JobFilter::default()
    };
    while client.inspect().jobs(&written).await?.jobs.len() < 2 {
        tokio::time::sleep(seconds(1) / 10).await;
    }
    recurring.remove().await?;
    worker.stop().await;
    Ok(())
}
