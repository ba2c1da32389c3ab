//! A worker meets a backlog.

use std::time::{Duration, Instant};

use serde_json::{Map, json};

use super::{Bench, oddities, start_worker};
use crate::Result;
use crate::meter::Meter;
use crate::options::{Fill, Sort};
use crate::row::{Measured, round};
use crate::seen::{Running, Seen};

/// What the worker meets.
#[derive(Default)]
pub(super) struct Drain {
    pub(super) jobs: u64,
    /// Bytes of arguments; 0 for small ones.
    pub(super) bytes: usize,
    pub(super) sort: Sort,
    /// So many more that are due tomorrow.
    pub(super) scheduled: u64,
    /// So many more that a limit keeps waiting.
    pub(super) blocked: u64,
    /// Workers, each with connections of its own; 0 is 1.
    pub(super) workers: usize,
    /// Beside somebody's transaction that is older than all jobs.
    pub(super) held: bool,
}

impl Drain {
    pub(super) const fn of(jobs: u64) -> Self {
        Self {
            jobs,
            bytes: 0,
            sort: Sort::Plain,
            scheduled: 0,
            blocked: 0,
            workers: 1,
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
        let blocked = match self.blocked {
            0 => 0,
            blocked => bench.scaled(blocked).max(2),
        };
        if blocked > 0 {
            let fill = Fill {
                jobs: blocked,
                sort: Sort::Barred,
                ..Fill::default()
            };
            bench.fill(&fill).await?;
        }
        let fill = Fill {
            jobs,
            bytes: self.bytes,
            sort: self.sort,
            ..Fill::default()
        };
        bench.fill(&fill).await?;
        bench.settle_down().await?;

        let mut extra = Map::new();
        let (seen, jobs) = match self.sort {
            Sort::Parents => (Seen::init_with_children(jobs), 2 * jobs),
            _ => (Seen::init(jobs), jobs),
        };
        // There are moments when none of those is due.
        let wait = !matches!(self.sort, Sort::Plain | Sort::Kinds);
        let begin = Meter::read(database).await?;
        // The clock runs from before the worker connects until the database shows everything as done.
        let start = Instant::now();
        let storage = database.connect().await?;
        let mut workers = vec![start_worker(&storage).await?];
        for _ in 1..self.workers {
            workers.push(start_worker(&database.connect().await?).await?);
        }
        let mut handlers = None;
        let mut asked = start;
        let finished = loop {
            if handlers.is_none() && seen.distinct() >= jobs {
                handlers = Some(start.elapsed());
            }
            // While handlers run the question would only cost; when the last has run it is asked often.
            if handlers.is_some() || !wait && asked.elapsed() > Duration::from_secs(1) {
                if database.all_finished(&storage, blocked).await? {
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
        if Running::most() > 2 {
            extra.insert("more_at_once_than_2".into(), json!(Running::most()));
        }
        if let Some(postgres) = database.postgres() {
            let mib = postgres.size().await? / f64::from(1 << 20);
            extra.insert("database_mib".into(), json!(round(mib)));
        }
        for worker in workers {
            worker.stop().await;
        }
        drop((holder, storage));
        begin.commits_per_job(database, jobs, &mut extra).await?;
        Ok(Measured::rate(succeeded.min(jobs), seconds, extra))
    }
}
