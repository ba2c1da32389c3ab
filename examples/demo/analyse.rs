//! The jobs.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;

use anyhow::Context;
use jobs::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Folders that hold what others made.
const SKIPPED: [&str; 3] = ["target", "node_modules", ".git"];

/// One in so many files is made to fail twice.
const UNLUCKY: u64 = 20;

/// How the jobs of one run are found again.
pub(crate) fn tag(run: &str) -> String {
    format!("run:{run}")
}

/// The run that a job belongs to.
pub(crate) fn run_of(tags: &[String]) -> Option<&str> {
    tags.iter().find_map(|tag| tag.strip_prefix("run:"))
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Scanned {
    pub(crate) files: usize,
    pub(crate) folders: usize,
    pub(crate) skipped: usize,
}

/// Looks into a folder and enqueues a job for each file and each folder in it. Should it be killed
/// half-way it runs again from the start; a file that was enqueued twice is counted once.
#[job(queue = "scan", retries = 2, backoff = ["200ms"])]
pub(crate) async fn scan(dir: String, run: String) -> anyhow::Result<Scanned> {
    let mut scanned = Scanned::default();
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot look into {dir}"))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
        match entry.path().to_str() {
            Some(path) if kind.is_dir() && !skipped => folders.push((path.to_owned(), &run)),
            Some(path) if kind.is_file() => files.push(path.to_owned()),
            _ => scanned.skipped += 1,
        }
    }
    (scanned.files, scanned.folders) = (files.len(), folders.len());
    analyse.enqueue_many(files).tag(tag(&run)).await?;
    scan.enqueue_many(folders).tag(tag(&run)).await?;
    Ok(scanned)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Analysis {
    pub(crate) language: String,
    pub(crate) bytes: u64,
    pub(crate) lines: usize,
    pub(crate) words: usize,
    pub sha256: String,
}

/// Reads a file. A plain `fn`: it may block, it runs on a thread where that disturbs nobody.
#[job(queue = "files", retries = 3, backoff = ["100ms", "300ms"])]
pub(crate) fn analyse(path: String, ctx: JobContext) -> anyhow::Result<Analysis> {
    if is_unlucky(&path) && ctx.attempt() <= 2 {
        anyhow::bail!("made to fail, to show retries: time {} of 2", ctx.attempt());
    }
    let content = fs::read(&path).with_context(|| format!("cannot read {path}"))?;
    if content.iter().take(8_000).any(|byte| *byte == 0) {
        Err(JobError::discard("a binary file has no lines to count"))?;
    }
    let text = String::from_utf8_lossy(&content);
    Ok(Analysis {
        language: language(&path).to_owned(),
        bytes: content.len() as u64,
        lines: text.lines().count(),
        words: text.split_whitespace().count(),
        sha256: Sha256::digest(&content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    })
}

fn is_unlucky(path: &str) -> bool {
    let mut hash = DefaultHasher::new();
    path.hash(&mut hash);
    hash.finish().is_multiple_of(UNLUCKY)
}

/// Is enqueued with a delay, and says how far the others have come by then.
#[job(queue = "scan")]
pub(crate) async fn look_back(run: String, ctx: JobContext) -> anyhow::Result<String> {
    let counts = ctx.client().inspect().counts().await?;
    let unfinished = counts.unfinished() - 1;
    Ok(format!(
        "{unfinished} other jobs were unfinished when run {run} was a second old"
    ))
}

fn language(path: &str) -> &'static str {
    let path = Path::new(path);
    match path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
    {
        "rs" => "Rust",
        "md" => "Markdown",
        "toml" => "TOML",
        "sql" => "SQL",
        "sh" | "bash" => "Shell",
        "c" | "h" => "C",
        "cc" | "cpp" | "cxx" | "hpp" => "C++",
        "py" => "Python",
        "js" | "mjs" | "cjs" => "JavaScript",
        "ts" | "tsx" => "TypeScript",
        "java" => "Java",
        "go" => "Go",
        "html" | "htm" => "HTML",
        "css" => "CSS",
        "json" => "JSON",
        "yml" | "yaml" => "YAML",
        "xml" | "svg" => "XML",
        "txt" => "Text",
        "lock" => "Lock file",
        "stderr" | "stdout" => "Expected output",
        _ => "Other",
    }
}
