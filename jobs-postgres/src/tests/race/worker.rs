//! Workers that do all that a worker should not, and that happens to workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs_core::job::{AttemptOutcome, ClaimId, ErrorReport, NewJob, WorkerId};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{
    Beat, ClaimedJob, Flush, Refusal, Refused, Settlement, Start, Storage, Within, WorkerInfo,
};
use sqlx::Executor;
use tokio::time::sleep;

use super::scene::{KINDS, Luck, QUEUES, Scene, patiently};
use crate::PgStorage;
use crate::tests::{new_job, request, settlement};

/// Flushes that are sent again come this much later at most.
const LATE: usize = 3_000;

pub(super) struct Worker {
    scene: Arc<Scene>,
    storage: PgStorage,
    luck: Luck,
    id: WorkerId,
    /// What it knows to hold.
    open: Vec<(ClaimId, Vec<ClaimedJob>)>,
    /// What is sent again when its time has come, as this worker or as one that it was before.
    again: Vec<(Instant, Flush)>,
}

impl Worker {
    pub(super) async fn new(scene: &Arc<Scene>, mut luck: Luck) -> Self {
        let storage = scene.storages[luck.below(scene.storages.len())].clone();
        let mut worker = Self {
            scene: Arc::clone(scene),
            storage,
            luck,
            id: WorkerId::new(),
            open: Vec::new(),
            again: Vec::new(),
        };
        worker.begin_anew().await;
        worker
    }

    async fn begin_anew(&mut self) {
        self.open.clear();
        self.id = WorkerId::new();
        let info = WorkerInfo::new(self.id);
        patiently!(self.scene, self.storage.register(&info)).unwrap();
    }

    pub(super) async fn play(mut self) {
        while self.scene.on() {
            match self.luck.below(100) {
                // Hangs, wakes, and goes on as if nothing had been: only later does it hear that it is dead.
                0..3 => sleep(Duration::from_millis(200) + self.luck.millis(400)).await,
                3..5 => {
                    patiently!(self.scene, self.storage.retire(self.id)).unwrap();
                    self.come_back_as_another().await;
                }
                // Killed: what it holds is left to the rescuers.
                5..8 => self.begin_anew().await,
                8..20 => self.note_a_suspect().await,
                20..25 => self.take_new().await,
                25..33 => self.complete_in_transaction().await,
                _ => {}
            }
            self.claim().await;
            self.settle().await;
            self.settle_again().await;
            self.beat().await;
            sleep(self.luck.millis(5)).await;
        }
    }

    async fn claim(&mut self) {
        let asked = request(self.id, self.luck.of(&["*", "*", "r.a", "r.*"]), 25);
        let claimed = patiently!(self.scene, self.storage.claim(&asked)).unwrap();
        self.start(asked.claim, &claimed.jobs).await;
        // At times the answer is lost; a beat gives the jobs back.
        if !claimed.jobs.is_empty() && !self.luck.chance(6) {
            self.open.push((asked.claim, claimed.jobs));
        }
    }

    /// Reports the starts of jobs with limits; at times it forgets to.
    async fn start(&mut self, claim: ClaimId, jobs: &[ClaimedJob]) {
        for job in jobs {
            let limited = job.rules.as_ref().is_some_and(|it| !it.limits.is_empty());
            if !limited || self.luck.chance(20) {
                continue;
            }
            let start = Start {
                worker: self.id,
                claim,
                job: job.id,
                run: job.run,
            };
            patiently!(self.scene, self.storage.start(&start)).unwrap();
        }
    }

    /// Jobs that are stored together with its claim of them.
    async fn take_new(&mut self) {
        let (kind, queue) = (self.luck.of(&KINDS), self.luck.of(&QUEUES));
        let job = |_| {
            let mut new = new_job();
            new.kind = kind.into();
            new.queue = queue.into();
            new
        };
        let jobs: Vec<NewJob> = (0..=self.luck.below(3)).map(job).collect();
        let claim = ClaimId::new();
        self.scene.stored(jobs.iter().map(|job| job.id));
        let taken = self.storage.insert_taken(&jobs, self.id, claim).await;
        let Some(over) = taken.unwrap() else {
            patiently!(self.scene, self.storage.insert(&jobs)).unwrap();
            return;
        };
        self.scene.count("handed over");
        let held = |job: &NewJob| ClaimedJob {
            id: job.id,
            kind: kind.into(),
            args: job.args.clone(),
            queue: queue.into(),
            priority: job.priority,
            options: None,
            rules: None,
            attempt: 0,
            lost: 0,
            run: 0,
            due_at: over.due_at,
        };
        let is_taken = |job: &&NewJob| over.taken.contains(&job.id);
        let held: Vec<_> = jobs.iter().filter(is_taken).map(held).collect();
        if !held.is_empty() {
            self.open.push((claim, held));
        }
    }

    /// Ends some of what is open, and sends the outcomes once, twice at once, or again later.
    async fn settle(&mut self) {
        let mut settlements = Vec::new();
        let mut closed = Vec::new();
        for (claim, jobs) in &self.open {
            let n = self.luck.below(jobs.len() + 1);
            for job in &jobs[..n] {
                settlements.push(settlement(job, *claim, outcome(&mut self.luck)));
            }
            if n == jobs.len() {
                closed.push(*claim);
            }
        }
        let flush = Flush {
            worker: self.id,
            settlements,
            closed,
        };
        if self.luck.chance(15) {
            let when = Instant::now() + self.luck.millis(LATE);
            self.again.push((when, flush.clone()));
        }
        let refused = if self.luck.chance(20) {
            let other = &self.scene.storages[self.luck.below(3)];
            let (one, two) = tokio::join!(
                async { patiently!(self.scene, self.storage.settle(&flush)).unwrap() },
                async { patiently!(self.scene, other.settle(&flush)).unwrap() },
            );
            self.ended_once(&flush, &one, &two);
            one.into_iter().filter(|no| two.contains(no)).collect()
        } else {
            patiently!(self.scene, self.storage.settle(&flush)).unwrap()
        };
        self.scene
            .count_many("outcomes", (flush.settlements.len() - refused.len()) as u64);
        self.forget(&flush.settlements, &refused);
    }

    /// Of two answers to the same, one at most says that an outcome was applied just now.
    fn ended_once(&self, flush: &Flush, one: &[Refused], two: &[Refused]) {
        for run in &flush.settlements {
            let applied = |answer: &[Refused]| !answer.iter().any(|no| no.job == run.job);
            assert!(!(applied(one) && applied(two)), "applied twice: {run:?}");
        }
    }

    /// Holds what was answered no more.
    fn forget(&mut self, sent: &[Settlement], refused: &[Refused]) {
        for (claim, jobs) in &mut self.open {
            jobs.retain(|job| {
                let is_it = |run: &&Settlement| run.claim == *claim && run.job == job.id;
                let busy = |no: &Refused| no.job == job.id && no.why == Refusal::Busy;
                !sent.iter().any(|run| is_it(&run)) || refused.iter().any(busy)
            });
        }
        self.open.retain(|(_, jobs)| !jobs.is_empty());
        let others = refused.iter().filter(|no| no.why != Refusal::Busy);
        self.scene
            .count_many("outcomes refused", others.count() as u64);
    }

    async fn settle_again(&mut self) {
        let now = Instant::now();
        let due = self.again.extract_if(.., |(when, _)| *when <= now);
        for (_, flush) in due.collect::<Vec<_>>() {
            let refused = patiently!(self.scene, self.storage.settle(&flush)).unwrap();
            self.scene
                .count_many("outcomes refused", refused.len() as u64);
        }
    }

    /// A handler whose own transaction completes the job, or does not; its outcome is sent in any case.
    async fn complete_in_transaction(&mut self) {
        let Some((claim, job)) = self.open.first().map(|(claim, jobs)| (*claim, &jobs[0])) else {
            return;
        };
        let done = success();
        let run = settlement(job, claim, done);
        let mut connection = self.scene.home.connection().await;
        connection.execute("begin").await.unwrap();
        let completed = connection.complete(&self.storage, self.id, &run).await;
        if completed.is_err() {
            return;
        }
        sleep(self.luck.millis(50)).await;
        if self.luck.chance(70) {
            connection.execute("commit").await.unwrap();
            self.scene.count("completed in a transaction");
        } else {
            drop(connection);
        }
        let flush = Flush {
            worker: self.id,
            settlements: vec![run],
            closed: Vec::new(),
        };
        let refused = patiently!(self.scene, self.storage.settle(&flush)).unwrap();
        self.forget(&flush.settlements, &refused);
    }

    async fn beat(&mut self) {
        let beat = Beat {
            worker: self.id,
            claims: self.open.iter().map(|(claim, _)| *claim).collect(),
            newest: Some(ClaimId::new()),
        };
        let orders = patiently!(self.scene, self.storage.beat(&beat)).unwrap();
        if !orders.alive {
            self.scene.count("came back from the dead");
            self.come_back_as_another().await;
        }
    }

    async fn note_a_suspect(&mut self) {
        let mut open = self.open.iter().flat_map(|(_, jobs)| jobs);
        let suspect = open.find(|job| job.lost > 0).map(|job| job.id);
        let noted = patiently!(self.scene, self.storage.suspect(self.id, suspect));
        noted.unwrap();
    }

    /// What it held as the one it was is reported all the same.
    async fn come_back_as_another(&mut self) {
        let mut settlements = Vec::new();
        for (claim, jobs) in &self.open {
            for job in jobs {
                settlements.push(settlement(job, *claim, outcome(&mut self.luck)));
            }
        }
        let flush = Flush {
            worker: self.id,
            settlements,
            closed: Vec::new(),
        };
        let when = Instant::now() + self.luck.millis(500);
        self.again.push((when, flush));
        self.begin_anew().await;
    }
}

fn success() -> Transition {
    Transition::Succeed {
        result: None,
        note: None,
    }
}

fn outcome(luck: &mut Luck) -> Transition {
    let delay = luck.millis(60);
    match luck.below(100) {
        0..60 => success(),
        60..78 => Transition::Retry {
            delay,
            reason: "again".into(),
            how: AttemptOutcome::Failed,
            report: ErrorReport::new("it broke"),
        },
        78..86 => Transition::Fail {
            reason: "it broke".into(),
            how: AttemptOutcome::Failed,
            report: ErrorReport::new("it broke"),
        },
        86..91 => Transition::Snooze {
            delay,
            reason: "later".into(),
        },
        91..94 => Transition::Delete {
            reason: "not wanted".into(),
        },
        _ => Transition::Release {
            reason: "shutdown".into(),
        },
    }
}
