//! What ran, what was slow, what failed and why.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jobs::inspect::{JobFilter, JobRecord};
use jobs::prelude::*;
use jobs::{Job, State};
use serde::Deserialize;

use crate::analyse::{Analyse, Analysis, tag};

#[derive(Default)]
struct Kind {
    jobs: u64,
    succeeded: u64,
    failed: u64,
    retries: u64,
    total: Duration,
    longest: Duration,
}

#[derive(Default)]
struct Language {
    files: u64,
    bytes: u64,
    lines: usize,
    words: usize,
}

#[derive(Default)]
struct Report {
    kinds: BTreeMap<String, Kind>,
    languages: BTreeMap<String, Language>,
    failures: BTreeMap<String, Vec<String>>,
    seen: HashSet<String>,
    copies: u64,
    hashes: HashSet<String>,
}

/// What the report needs of an analysed job's arguments.
#[derive(Deserialize)]
struct File {
    path: String,
}

pub(crate) async fn print(client: &Client, run: &str, took: Duration) -> anyhow::Result<()> {
    let mut report = Report::default();
    let mut filter = JobFilter {
        tag: Some(tag(run)),
        limit: 1_000,
        ..JobFilter::default()
    };
    loop {
        let page = client.inspect().jobs(&filter).await?;
        for job in &page.jobs {
            report.add(job)?;
        }
        filter.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    report.print(took);
    Ok(())
}

impl Report {
    fn add(&mut self, job: &JobRecord) -> anyhow::Result<()> {
        let kind = self.kinds.entry(job.kind.clone()).or_default();
        kind.jobs += 1;
        kind.succeeded += u64::from(job.state == State::Succeeded);
        kind.failed += u64::from(job.state == State::Failed);
        kind.retries += u64::from(job.attempt.saturating_sub(1));
        if let (Some(start), Some(end)) = (job.started_at, job.finished_at) {
            let ran = (end - start).to_std().unwrap_or_default();
            kind.total += ran;
            kind.longest = kind.longest.max(ran);
        }
        if job.kind != Analyse::KIND {
            return Ok(());
        }
        let File { path } = serde_json::from_str(&job.args)?;
        if !self.seen.insert(path.clone()) {
            return Ok(());
        }
        if let Some(reason) = &job.reason
            && job.state == State::Failed
        {
            self.failures.entry(reason.clone()).or_default().push(path);
        } else if let Some(result) = &job.result {
            self.count(serde_json::from_str(result)?);
        }
        Ok(())
    }

    fn count(&mut self, file: Analysis) {
        let language = self.languages.entry(file.language).or_default();
        language.files += 1;
        language.bytes += file.bytes;
        language.lines += file.lines;
        language.words += file.words;
        self.copies += u64::from(!self.hashes.insert(file.sha256));
    }

    fn print(&self, took: Duration) {
        println!("\nWhat ran, the slowest kinds first");
        println!(
            "{:<12}{:>9}{:>11}{:>8}{:>9}{:>12}{:>12}",
            "kind", "jobs", "succeeded", "failed", "retries", "mean", "longest"
        );
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.mean()));
        for (name, kind) in kinds {
            let Kind {
                jobs,
                succeeded,
                failed,
                retries,
                longest,
                ..
            } = kind;
            let (mean, longest) = (millis(kind.mean()), millis(*longest));
            println!(
                "{name:<12}{jobs:>9}{succeeded:>11}{failed:>8}{retries:>9}{mean:>12}{longest:>12}"
            );
        }

        println!("\nWhat was found");
        println!(
            "{:<16}{:>8}{:>12}{:>12}{:>14}",
            "language", "files", "lines", "words", "bytes"
        );
        let mut languages: Vec<_> = self.languages.iter().collect();
        languages.sort_by_key(|(_, language)| std::cmp::Reverse(language.lines));
        for (
            name,
            Language {
                files,
                bytes,
                lines,
                words,
            },
        ) in languages
        {
            println!("{name:<16}{files:>8}{lines:>12}{words:>12}{bytes:>14}");
        }
        println!("{} files are the same as another one.", self.copies);

        if !self.failures.is_empty() {
            println!("\nWhat failed, and why");
        }
        for (reason, paths) in &self.failures {
            println!("{:>5} x {reason}", paths.len());
            paths
                .iter()
                .take(3)
                .for_each(|path| println!("        {path}"));
        }
        let jobs: u64 = self.kinds.values().map(|kind| kind.jobs).sum();
        println!("\n{jobs} jobs in {:.1} s.", took.as_secs_f64());
    }
}

impl Kind {
    fn mean(&self) -> Duration {
        self.total.checked_div(self.jobs as u32).unwrap_or_default()
    }
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}
