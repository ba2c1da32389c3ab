//! Who runs the jobs: this process, or some of its own.

use std::process::Stdio;
use std::time::Duration;

use jobs::prelude::*;
use jobs::{RunningWorker, StorageHandle};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use crate::options::Options;
use crate::store::Store;

/// Whoever works.
pub(crate) enum Crew {
    Here(RunningWorker),
    Processes(Vec<Child>),
}

/// A killed demo should not make the next one wait: this worker is missed sooner than usual.
fn worker(storage: StorageHandle) -> jobs::WorkerBuilder {
    Worker::builder(storage).liveness(Duration::from_millis(500), Duration::from_secs(4))
}

pub(crate) async fn start(options: &Options, store: &Store) -> anyhow::Result<Crew> {
    if options.workers == 1 {
        return Ok(Crew::Here(worker(store.storage.clone()).start().await?));
    }
    let start = |_| {
        Command::new(std::env::current_exe()?)
            .arg(&options.dir)
            .arg("--worker")
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    };
    Ok(Crew::Processes(
        (0..options.workers).map(start).collect::<Result<_, _>>()?,
    ))
}

impl Crew {
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Here(worker) => worker.stop().await,
            Self::Processes(children) => {
                for mut child in children {
                    // The end of its input tells it to stop.
                    drop(child.stdin.take());
                    child.wait().await?;
                }
            }
        }
        Ok(())
    }
}

/// What a worker process does. Its input ends when its parent stops or dies.
pub(crate) async fn serve_until_the_parent_ends(storage: StorageHandle) -> anyhow::Result<()> {
    let parent_ends = async {
        let _ = tokio::io::stdin().read(&mut [0]).await;
    };
    worker(storage).build()?.run_until(parent_ends).await?;
    // A read of the standard input cannot be given up.
    std::process::exit(0)
}
