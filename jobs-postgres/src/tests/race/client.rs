//! Who stores jobs of all sorts, in transactions that stay open or are rolled back too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs_core::Result;
use jobs_core::job::{
    BatchId, Bound, Condition, Due, JobId, LimitRule, LimitUse, NewJob, OnConflict, Parent,
    ParentId, Priority, Rules, Unique, UniqueUntil,
};
use jobs_core::storage::{Inserted, NewBatch, Storage, Within};
use sqlx::{Executor, PgConnection};
use tokio::time::sleep;

use super::scene::{KINDS, Luck, QUEUES, Scene, patiently};
use crate::PgStorage;

/// Within this time a request is sent again at the latest. Later, what it stored may have been removed.
const AGAIN: usize = 1_000;

/// Something that is sent, and sent again when the answer was lost.
#[derive(Clone)]
struct Request(Option<NewBatch>, Vec<NewJob>);

impl Request {
    async fn send(&self, storage: &PgStorage) -> Result<Vec<Inserted>> {
        match &self.0 {
            Some(batch) => storage.create_batch(batch, &self.1).await,
            None => storage.insert(&self.1).await,
        }
    }

    async fn send_within(
        &self,
        connection: &mut PgConnection,
        storage: &PgStorage,
    ) -> Result<Vec<Inserted>> {
        match &self.0 {
            Some(batch) => connection.create_batch(storage, batch, &self.1).await,
            None => connection.insert(storage, &self.1).await,
        }
    }
}

pub(super) struct Client {
    pub(super) scene: Arc<Scene>,
    pub(super) storage: PgStorage,
    pub(super) luck: Luck,
    /// What is sent again when its time has come: somebody thinks that the answer was lost.
    again: Vec<(Instant, Request)>,
}

impl Client {
    pub(super) fn new(scene: &Arc<Scene>, mut luck: Luck) -> Self {
        Self {
            scene: Arc::clone(scene),
            storage: scene.storages[luck.below(scene.storages.len())].clone(),
            luck,
            again: Vec::new(),
        }
    }

    pub(super) async fn play(mut self) {
        while self.scene.on() {
            match self.luck.below(100) {
                0..12 => {
                    let batch = self.batch();
                    self.store(batch).await;
                }
                12..22 => {
                    let batch = self.scene.some_batch(&mut self.luck);
                    let members = self.jobs(batch);
                    self.store(Request(None, members)).await;
                }
                22..30 => self.enqueue_by_sql().await,
                _ => {
                    let jobs = self.jobs(None);
                    self.store(Request(None, jobs)).await;
                }
            }
            self.send_again().await;
            sleep(self.luck.millis(12)).await;
        }
    }

    async fn store(&mut self, request: Request) {
        // Known before it is there: others may meddle with it while its transaction is open.
        self.scene.stored(request.1.iter().map(|job| job.id));
        if let Some(batch) = &request.0 {
            self.scene.batch(batch.id);
        }
        if self.luck.chance(35) {
            if !self.store_in_transaction(&request).await {
                self.forget(&request);
            }
        } else {
            let answer = patiently!(self.scene, request.send(&self.storage));
            self.look(&answer);
            if answer.is_err() {
                self.forget(&request);
            }
            if self.luck.chance(15) {
                let others = [self.luck.below(3), self.luck.below(3)];
                let [one, other] = others.map(|n| &self.scene.storages[n]);
                // If it was refused it may be taken now: its batch was reopened, its key is free.
                let _ = tokio::join!(async { patiently!(self.scene, request.send(one)) }, async {
                    patiently!(self.scene, request.send(other))
                },);
            }
        }
        if self.luck.chance(8) {
            let when = Instant::now() + self.luck.millis(AGAIN);
            self.again.push((when, request));
        }
    }

    fn look(&self, answer: &Result<Vec<Inserted>>) {
        for one in answer.iter().flatten().filter(|one| one.existing) {
            self.scene.count("times another held the key");
            self.scene.stored([one.id]);
        }
    }

    fn forget(&self, request: &Request) {
        let ids: Vec<_> = request.1.iter().map(|job| job.id).collect();
        let batch = request.0.as_ref().map(|batch| batch.id);
        self.scene.forget(&ids, batch);
    }

    /// A transaction that has other things to do too, and does not always come to a good end. Answers whether it did.
    async fn store_in_transaction(&mut self, request: &Request) -> bool {
        let mut connection = self.scene.home.connection().await;
        connection.execute("begin").await.unwrap();
        let answer = request.send_within(&mut connection, &self.storage).await;
        self.look(&answer);
        let taken = answer.is_ok();
        if let Err(error) = answer
            && self.scene.may_be_sent_again(&error)
        {
            return false;
        }
        if self.luck.chance(20) {
            let plain = [self.job()];
            let stored = connection.insert(&self.storage, &plain).await;
            stored.expect("the transaction goes on");
            self.scene.stored([plain[0].id]);
        }
        sleep(self.luck.millis(50)).await;
        match self.luck.below(100) {
            0..65 => {
                connection.execute("commit").await.unwrap();
                self.scene.count("transactions committed");
                taken
            }
            65..90 => {
                connection.execute("rollback").await.unwrap();
                self.scene.count("transactions rolled back");
                false
            }
            _ => {
                self.scene.count("transactions broken off");
                false
            }
        }
    }

    async fn send_again(&mut self) {
        let now = Instant::now();
        let due = self.again.extract_if(.., |(when, _)| *when <= now);
        for (_, request) in due.collect::<Vec<_>>() {
            let answer = patiently!(self.scene, request.send(&self.storage));
            self.look(&answer);
        }
    }

    async fn enqueue_by_sql(&mut self) {
        let mut connection = self.scene.home.connection().await;
        let (kind, queue) = (self.luck.of(&KINDS), self.luck.of(&QUEUES));
        let sql = format!("select jobs.enqueue('{kind}', queue => '{queue}')");
        let row = sqlx::query(self.scene.home.sql(&sql));
        let row = row.fetch_one(&mut connection).await.unwrap();
        let id: uuid::Uuid = sqlx::Row::get(&row, 0);
        self.scene.stored([id.into()]);
    }

    /// A batch with its first members, complete or not, perhaps within another, and some that wait for it.
    fn batch(&mut self) -> Request {
        let id = BatchId::new();
        let mut jobs = self.jobs(Some(id));
        for _ in 0..self.luck.below(3) {
            let mut waits = self.job();
            let on = self.condition();
            let of = ParentId::Batch(id);
            rules(&mut waits).parents = vec![Parent { of, on }];
            jobs.push(waits);
        }
        let around = self.scene.some_batch(&mut self.luck);
        let mut batch = NewBatch::new(id);
        batch.sealed = self.luck.chance(60);
        batch.parent = around.filter(|_| self.luck.chance(50));
        Request(Some(batch), jobs)
    }

    fn jobs(&mut self, batch: Option<BatchId>) -> Vec<NewJob> {
        let mut jobs = Vec::new();
        for _ in 0..=self.luck.below(8) {
            let mut new = self.job();
            self.add_rules(&mut new, &jobs);
            if batch.is_some() {
                rules(&mut new).batch = batch;
            }
            jobs.push(new);
        }
        jobs
    }

    fn job(&mut self) -> NewJob {
        let mut new = NewJob::new(JobId::new(), self.luck.of(&KINDS), "{}");
        new.queue = self.luck.of(&QUEUES).into();
        new.priority = Priority::new(self.luck.of(&[-1, 0, 0, 1]));
        if self.luck.chance(25) {
            new.due = Due::In(self.luck.millis(80));
        }
        new
    }

    fn add_rules(&mut self, new: &mut NewJob, beside: &[NewJob]) {
        match self.luck.below(100) {
            0..35 => rules(new).parents = self.parents(beside),
            35..50 => rules(new).unique = Some(self.unique()),
            50..54 => rules(new).expires_in = Some(self.luck.millis(80)),
            _ => {}
        }
        if self.luck.chance(35) {
            rules(new).limits = self.limits();
        }
    }

    /// Parents that are stored, whatever they are doing, and those of the same request.
    fn parents(&mut self, beside: &[NewJob]) -> Vec<Parent> {
        let n = 1 + self.luck.below(3);
        let mut of: Vec<_> = self.scene.some_jobs(&mut self.luck, n);
        of.extend(beside.iter().map(|job| job.id).take(self.luck.below(2)));
        of.sort_unstable();
        of.dedup();
        let mut of: Vec<_> = of.into_iter().map(ParentId::Job).collect();
        if self.luck.chance(15) {
            of.extend(self.scene.some_batch(&mut self.luck).map(ParentId::Batch));
        }
        let parent = |of| Parent {
            of,
            on: self.condition(),
        };
        of.into_iter().map(parent).collect()
    }

    fn condition(&mut self) -> Condition {
        use Condition::{Any, Deletion, Failure, Success};
        self.luck
            .of(&[Success, Success, Success, Any, Any, Any, Failure, Deletion])
    }

    fn unique(&mut self) -> Unique {
        use OnConflict::{Debounce, Error, Replace, Skip};
        let until = match self.luck.below(4) {
            0 => UniqueUntil::Started,
            1 => UniqueUntil::Period(self.luck.millis(300) + Duration::from_millis(1)),
            _ => UniqueUntil::Done,
        };
        Unique {
            key: self.luck.of(&["k0", "k1", "k2", "k3"]).into(),
            until,
            on_conflict: self
                .luck
                .of(&[Skip, Skip, Replace, Replace, Debounce, Error]),
        }
    }

    /// At most one of each name.
    fn limits(&mut self) -> Vec<LimitUse> {
        let per = Duration::from_millis(40);
        let rules = [
            (40, LimitRule::concurrency("moving", 2)),
            (40, LimitRule::concurrency("fixed", 2)),
            (
                10,
                LimitRule::new("sliding", Bound::SlidingWindow { max: 6, per }),
            ),
            (10, LimitRule::fixed("window", 8, per)),
            (10, LimitRule::bucket("bucket", 8, per, 4)),
            (5, LimitRule::concurrency("spills", 1).or_reschedule(per)),
            (3, LimitRule::concurrency("drops", 1).or_delete()),
        ];
        let mut uses = Vec::new();
        for (percent, rule) in rules {
            if self.luck.chance(percent) {
                let key = self.luck.of(&["", "t0", "t1"]);
                let weight = 1 + self.luck.below(2).min(rule.bound.capacity() as usize - 1);
                uses.push(rule.by(key).weight(weight as u32));
            }
        }
        uses
    }
}

fn rules(new: &mut NewJob) -> &mut Rules {
    new.rules.get_or_insert_default()
}
