//! The command line.

use std::path::PathBuf;

use anyhow::{Context, bail};

const USAGE: &str = "usage: demo [DIR] [--workers N]
  DIR          the folder to analyse; default: this project
  --workers N  so many worker processes; default: one, in this process
  DATABASE_URL=postgres://… in the environment: keep the jobs there, not in SQLite";

pub(crate) struct Options {
    pub(crate) dir: PathBuf,
    pub(crate) workers: usize,
    /// Set by the demo itself when it starts worker processes.
    pub(crate) is_worker: bool,
}

impl Options {
    pub(crate) fn parse() -> anyhow::Result<Self> {
        let mut dir = None;
        let (mut workers, mut is_worker) = (1, false);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match &*word {
                "--workers" => {
                    let number = words.next().context(USAGE)?;
                    workers = number
                        .parse()
                        .ok()
                        .filter(|n| (1..=64).contains(n))
                        .with_context(|| {
                            format!("--workers takes a number from 1 to 64, not `{number}`")
                        })?;
                }
                "--worker" => is_worker = true,
                "-h" | "--help" => {
                    println!("{USAGE}");
                    std::process::exit(0);
                }
                _ if word.starts_with('-') => bail!("unknown option {word}\n{USAGE}"),
                _ if dir.is_some() => bail!("one folder at a time\n{USAGE}"),
                _ => dir = Some(PathBuf::from(word)),
            }
        }
        let dir = dir.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let dir = dir
            .canonicalize()
            .with_context(|| format!("cannot look into {}", dir.display()))?;
        if !dir.is_dir() {
            bail!("{} is no folder", dir.display());
        }
        dir.to_str()
            .with_context(|| format!("{} is not UTF-8", dir.display()))?;
        Ok(Self {
            dir,
            workers,
            is_worker,
        })
    }
}
