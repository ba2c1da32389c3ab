//! A worker meets a backlog.

use std::time::{Duration, Instant};

use serde_json::{Map, json};

use super::{Bench, oddities, start_worker};
use crate::Result;
use crate::meter::Meter;
use crate::options::Fill;
use crate::row::{Measured, round};
use crate::seen::Seen;

/// What the worker meets.
#[derive(Default)]
pub(super) struct Drain {
    pub(super) jobs: u64,
    /// Bytes of arguments; 0 for small ones.
    pub(super) bytes: usize,
    /// Twenty kinds in four queues.
    pub(super) kinds: bool,
    /// So many more that are due tomorrow.
    pub(super) scheduled: u64,
    /// Beside somebody's transaction that is older than all jobs.
    pub(super) held: bool,
}

impl Drain {
    pub(super) const fn of(jobs: u64) -> Self {
        Self {
            jobs,
            bytes: 0,
            kinds: false,
            scheduled: 0,
            held: false,
        }
    }

    pub(super) async fn run(&self, bench: &Bench<'_>) -> Result<Measured> {
        let (database, jobs) = (bench.database, bench.scaled(self.jobs));
        let mut holder = None;
        if let Some(postgres) = database.postgres()
            && self.held
        {
            holder = Some(postgres.hold_snapshot().await?);
        }
        if self.scheduled > 0 {
            let fill = Fill {
                first: jobs,
                jobs: bench.scaled(self.scheduled),
                scheduled: true,
                ..Fill::default()
            };
            bench.fill(&fill).await?;
        }
        let fill = Fill {
            jobs,
            bytes: self.bytes,
            kinds: self.kinds,
            ..Fill::default()
        };
        bench.fill(&fill).await?;
        bench.settle_down().await?;

        let mut extra = Map::new();
        let seen = Seen::init(jobs);
        let begin = Meter::read(database).await?;
        // The clock runs from before the worker connects until the database shows everything as done.
        let start = Instant::now();
        let storage = database.connect().await?;
        let worker = start_worker(&storage).await?;
        let mut handlers = None;
        let mut asked = start;
        let finished = loop {
            if handlers.is_none() && seen.distinct() >= jobs {
                handlers = Some(start.elapsed());
            }
            // While handlers run the question would only cost; when the last has run it is asked often.
            if handlers.is_some() || asked.elapsed() > Duration::from_secs(1) {
                if database.all_finished(&storage).await? {
                    break true;
                }
                asked = Instant::now();
            }
            if start.elapsed().as_secs_f64() > bench.run.cap {
                break false;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        };
        let seconds = start.elapsed().as_secs_f64();
        let end = Meter::read(database).await?;
        let succeeded = database.succeeded(&storage).await?;
        begin.per_job(&end, jobs, &mut extra);
        extra.insert("seconds".into(), json!(round(seconds)));
        if let Some(handlers) = handlers {
            let seconds = round(handlers.as_secs_f64());
            extra.insert("handler_seconds".into(), json!(seconds));
        }
        if !finished {
            extra.insert("capped".into(), json!(true));
        }
        oddities(seen, jobs, succeeded, &mut extra);
        if let Some(postgres) = database.postgres() {
            let mib = postgres.size().await? / f64::from(1 << 20);
            extra.insert("database_mib".into(), json!(round(mib)));
        }
        worker.stop().await;
        drop((holder, storage));
        begin.commits_per_job(database, jobs, &mut extra).await?;
        Ok(Measured::rate(succeeded.min(jobs), seconds, extra))
    }
}
