//! A pipeline: import the files of a folder in a batch, analyse each, no more than two of a directory at
//! once, join the results, write a report. `cargo run --example pipeline -- src report.txt`

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jobs::prelude::*;
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

type Summary = BTreeMap<String, (u64, u64, u64)>;

#[job(queue = "import")]
async fn import(path: PathBuf) -> io::Result<Imported> {
    let bytes = tokio::task::spawn_blocking({
        let path = path.clone();
        move || std::fs::metadata(path)
    });
    Ok(Imported {
        bytes: bytes.await??.len(),
        path,
    })
}

/// Follows `import`, whose result is the first argument.
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
    let batch = ctx
        .parent_batch()
        .ok_or_else(|| JobError::discard("it joins no batch"))?;
    let mut summary = Summary::new();
    for analysis in batch.results::<Analyse>().await? {
        let (files, lines, bytes) = summary.entry(analysis.directory).or_default();
        (*files, *lines, *bytes) = (*files + 1, *lines + analysis.lines, *bytes + analysis.bytes);
    }
    Ok(summary)
}

#[job]
fn report(summary: Summary, to: PathBuf) -> io::Result<u64> {
    let lines = summary.iter().map(|(directory, (files, lines, bytes))| {
        format!("{directory}: {files} files, {lines} lines, {bytes} bytes\n")
    });
    std::fs::write(to, lines.collect::<String>())?;
    Ok(summary.values().map(|(files, ..)| files).sum())
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
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let folder = args.next().unwrap_or_else(|| "src".into());
    let to = args.next().unwrap_or_else(|| "report.txt".into());
    let storage = jobs::connect("memory:").await?;
    Client::new(storage.clone()).install();
    let worker = Worker::builder(storage).start().await?;

    let mut batch = Batch::new().name(format!("files of {}", folder.display()));
    for path in files_in(&folder)? {
        let directory = path.parent().unwrap_or(&folder).display().to_string();
        batch = batch.add(import.enqueue(path).then(analyse.with(directory)));
    }
    let batch = batch.await?;
    let written = join.enqueue().after(&batch).then(report.with(to.clone()));
    let files = written.await?.result().await?;
    println!("{files} files, see {}", to.display());
    worker.stop().await;
    Ok(())
}
