//! What clients store: jobs of all sorts, and batches of them.

use std::time::Duration;

use super::super::stage::{after_batch, at_most, at_once, job, limit, rule, rules};
use super::actors::{Actor, KINDS, QUEUES};
use crate::error::{Error, Result};
use crate::job::{
    BatchId, Bound, Condition, Due, NewJob, OnConflict, Parent, ParentId, Priority, Unique,
    UniqueUntil,
};
use crate::storage::{Inserted, NewBatch, StorageHandle};

/// The most that the limits of the race ever allow: operators set them from 1 to this.
pub(super) const MOST: u32 = 3;
pub(super) const LIMIT: &str = "race";

pub(super) const KEYS: [&str; 3] = ["k0", "k1", "k2"];

/// Something that is sent, and sent again when the answer was lost.
#[derive(Clone)]
enum Request {
    Insert(Vec<NewJob>),
    Batch(NewBatch, Vec<NewJob>),
}

impl Request {
    async fn send(&self, storage: &StorageHandle) -> Result<Vec<Inserted>> {
        match self {
            Self::Insert(jobs) => storage.insert(jobs).await,
            Self::Batch(batch, jobs) => storage.create_batch(batch, jobs).await,
        }
    }

    fn jobs(&self) -> &[NewJob] {
        match self {
            Self::Insert(jobs) | Self::Batch(_, jobs) => jobs,
        }
    }
}

impl Actor {
    pub(super) async fn enqueue(mut self) {
        while self.on() {
            match self.luck.u8(..100) {
                0..12 if self.rules => self.store_batch().await,
                12..24 if self.rules => self.add_to_a_batch().await,
                _ => {
                    let n = self.luck.usize(1..12);
                    let jobs = self.new_jobs(n);
                    self.send(Request::Insert(jobs)).await;
                }
            }
            self.pause(3..20).await;
        }
    }

    /// Sends a request, perhaps several times, and writes down what it stored. Answers whether it was
    /// taken: a batch may have ended meanwhile.
    async fn send(&mut self, request: Request) -> bool {
        let mut answers = vec![request.send(&self.storage).await];
        if self.chance(20) {
            // The answer was lost, and the client sends again; perhaps the first is under way.
            let again = |_| {
                let (storage, request) = (self.storage.clone(), request.clone());
                async move { request.send(&storage).await }
            };
            answers.extend(at_once((0..2).map(again)).await);
        }
        if matches!(answers[0], Err(Error::Invalid(_))) && self.rules {
            // A batch that had ended takes members again once one of its own was requeued.
            answers.retain(|answer| !matches!(answer, Err(Error::Invalid(_))));
            if answers.is_empty() {
                return false;
            }
        }
        let answers: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.expect("what is stored can be sent again"))
            .collect();
        let mut stored = Vec::new();
        let mut held = 0;
        for (n, new) in request.jobs().iter().enumerate() {
            let of_this = answers.iter().map(|answer| answer[n]);
            let times = of_this.clone().filter(|one| !one.existing).count();
            let unique = new.rules.as_ref().is_some_and(|it| it.unique.is_some());
            let others = of_this.filter(|one| one.id != new.id).count();
            assert!(times == 1 || (unique && times == 0), "each job is new once");
            assert!(unique || others == 0, "nobody stands for {}", new.id);
            held += others as u64;
            if times == 1 {
                stored.push(new.id);
            }
        }
        self.ledger.stored(&stored, held);
        true
    }

    /// Stores a batch, whole or piece by piece, with some that wait for it.
    async fn store_batch(&mut self) {
        let id = BatchId::new();
        let mut jobs = self.members(id);
        for _ in 0..self.luck.usize(1..3) {
            let queue = self.luck.choice(QUEUES).expect("some");
            jobs.push(after_batch(queue, id, self.condition()));
        }
        let sealed = self.chance(60);
        let around = self.recent_batch().filter(|_| self.luck.bool());
        let new = NewBatch {
            sealed,
            parent: around,
            ..NewBatch::new(id)
        };
        if !self.send(Request::Batch(new, jobs)).await {
            return;
        }
        self.ledger.books().batches.push(id);
        if sealed {
            return;
        }
        let more = self.members(id);
        self.send(Request::Insert(more)).await;
        for _ in 0..self.luck.usize(1..3) {
            let sealed = self.storage.seal_batch(id).await;
            sealed.expect("seal_batch");
        }
    }

    async fn add_to_a_batch(&mut self) {
        if let Some(id) = self.recent_batch() {
            let members = self.members(id);
            self.send(Request::Insert(members)).await;
        }
    }

    pub(super) fn recent_batch(&mut self) -> Option<BatchId> {
        let books = self.ledger.books();
        let recent: Vec<_> = books.batches.iter().rev().take(8).copied().collect();
        drop(books);
        self.luck.choice(recent)
    }

    /// Members are not unique: then nobody can say what a request that is sent again stores.
    fn members(&mut self, batch: BatchId) -> Vec<NewJob> {
        let n = self.luck.usize(1..6);
        let mut jobs = self.new_jobs(n);
        for new in &mut jobs {
            rules(new).batch = Some(batch);
            rules(new).unique = None;
        }
        jobs
    }

    fn new_jobs(&mut self, n: usize) -> Vec<NewJob> {
        let mut jobs: Vec<NewJob> = Vec::new();
        for _ in 0..n {
            let mut new = self.new_job();
            if self.rules {
                self.add_rules(&mut new, &jobs);
            }
            jobs.push(new);
        }
        jobs
    }

    fn new_job(&mut self) -> NewJob {
        let queue = self.luck.choice(QUEUES).expect("some");
        let mut new = job(queue);
        new.kind = self.luck.choice(KINDS).expect("some").into();
        new.priority = Priority::new(self.luck.i16(-1..=1));
        if self.chance(30) {
            new.due = Due::In(Duration::from_millis(self.luck.u64(..80)));
        }
        new
    }

    fn add_rules(&mut self, new: &mut NewJob, beside: &[NewJob]) {
        match self.luck.u8(..100) {
            0..25 => self.add_parents(new, beside),
            25..40 => {
                let time = Duration::from_millis(self.luck.u64(1..50));
                let until = match self.luck.u8(..6) {
                    0 => UniqueUntil::Started,
                    1 => UniqueUntil::StartedWithin(time),
                    // Some are over while their jobs wait or run, and some never are.
                    2 => UniqueUntil::DoneWithin(time),
                    3 => UniqueUntil::DoneWithin(Duration::from_secs(3_600)),
                    _ => UniqueUntil::Done,
                };
                let on_conflict = match self.luck.u8(..3) {
                    0 => OnConflict::Replace,
                    1 => OnConflict::Debounce,
                    _ => OnConflict::Skip,
                };
                rules(new).unique = Some(Unique {
                    key: self.luck.choice(KEYS).expect("some").into(),
                    until,
                    on_conflict,
                });
            }
            40..45 => rules(new).expires_in = Some(Duration::from_millis(self.luck.u64(20..80))),
            _ => {}
        }
        if self.chance(30) {
            let key = format!("k{}", self.luck.u8(..2));
            limit(new, &at_most(LIMIT, 2), &key, self.luck.u32(1..=2));
        }
        if self.chance(5) {
            let per = Duration::from_millis(20);
            limit(
                new,
                &rule("rate", Bound::SlidingWindow { max: 8, per }),
                "",
                1,
            );
        }
    }

    /// Parents that are stored, whatever they are doing, and those of the same request.
    fn add_parents(&mut self, new: &mut NewJob, beside: &[NewJob]) {
        let n = self.luck.usize(1..4);
        let mut of: Vec<_> = self.some_recent_jobs();
        of.extend(beside.iter().map(|job| job.id));
        let of = self.luck.choose_multiple(of, n);
        let mut parents: Vec<_> = of.into_iter().map(ParentId::Job).collect();
        if self.chance(15) {
            parents.extend(self.recent_batch().map(ParentId::Batch));
        }
        let parents = parents.into_iter().map(|of| Parent {
            of,
            on: self.condition(),
        });
        rules(new).parents = parents.collect();
    }

    fn condition(&mut self) -> Condition {
        match self.luck.u8(..10) {
            0..5 => Condition::Success,
            5..9 => Condition::Any,
            _ if self.luck.bool() => Condition::Failure,
            _ => Condition::Deletion,
        }
    }
}
