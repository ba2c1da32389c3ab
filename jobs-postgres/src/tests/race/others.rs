//! Operators, rescuers, and who keeps house.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs_core::job::{Due, JobId, LimitRule, WorkerId};
use jobs_core::lifecycle::{LOST_LIMIT, LOST_REASON};
use jobs_core::storage::{
    Command, Control, ControlVerb, Inspect, RescueRequest, Retention, Scope, Storage, Verb,
};
use tokio::time::sleep;

use super::scene::{KINDS, Luck, QUEUES, Scene, patiently};
use crate::PgStorage;

/// How long a worker's beat stands still before it is taken for dead.
const SILENCE: Duration = Duration::from_millis(250);

/// For how long finished jobs are kept: longer than a request may be sent again, on a busy machine too.
const KEPT: Duration = Duration::from_secs(10);

pub(super) struct Operator {
    pub(super) scene: Arc<Scene>,
    pub(super) luck: Luck,
}

impl Operator {
    pub(super) async fn play(mut self) {
        while self.scene.on() {
            let storage = self.scene.storages[self.luck.below(3)].clone();
            match self.luck.below(100) {
                0..12 => self.pause_or_resume(&storage).await,
                12..22 => self.order_a_batch(&storage).await,
                22..26 => self.set_a_limit(&storage).await,
                26..30 => {
                    patiently!(self.scene, storage.counts()).unwrap();
                    patiently!(self.scene, storage.limits()).unwrap();
                    patiently!(self.scene, storage.queues()).unwrap();
                }
                _ => self.order(&storage).await,
            }
            sleep(self.luck.millis(25)).await;
        }
    }

    async fn order(&mut self, storage: &PgStorage) {
        let n = 1 + self.luck.below(5);
        let jobs = self.scene.some_jobs(&mut self.luck, n);
        let verb = match self.luck.below(12) {
            0..3 => Verb::Delete,
            3..6 => Verb::Requeue,
            6..8 => Verb::RunNow,
            8..10 => Verb::Reschedule(Due::In(self.luck.millis(60))),
            // What runs, too, begins anew, and its worker knows nothing of it.
            _ => {
                self.carry_out(storage, Verb::Delete, &jobs).await;
                Verb::Requeue
            }
        };
        self.carry_out(storage, verb, &jobs).await;
    }

    async fn carry_out(&mut self, storage: &PgStorage, verb: Verb, jobs: &[JobId]) {
        let command = Command {
            verb,
            jobs: jobs.to_vec(),
            actor: "race".into(),
            reason: None,
        };
        if patiently!(self.scene, storage.command(&command)).is_ok() {
            self.scene.count("orders");
        }
    }

    async fn pause_or_resume(&mut self, storage: &PgStorage) {
        let scope = match self.luck.chance(50) {
            true => Scope::queues(self.luck.of(&QUEUES)),
            false => Scope::kind(self.luck.of(&KINDS)),
        };
        let end = self.luck.chance(60).then(|| Due::In(self.luck.millis(60)));
        let scope = scope.unwrap();
        let verb = match self.luck.chance(40) {
            true => ControlVerb::Pause(scope, end),
            false => ControlVerb::Resume(scope),
        };
        control(&self.scene, storage, verb).await;
    }

    async fn order_a_batch(&mut self, storage: &PgStorage) {
        let Some(batch) = self.scene.some_batch(&mut self.luck) else {
            return;
        };
        let (what, answer) = match self.luck.below(10) {
            0..3 => (
                "batches cancelled",
                patiently!(self.scene, storage.cancel_batch(batch, "race", None)).map(drop),
            ),
            3..6 => (
                "batches reopened",
                patiently!(self.scene, storage.reopen_batch(batch)),
            ),
            _ => (
                "batches sealed",
                patiently!(self.scene, storage.seal_batch(batch)),
            ),
        };
        if answer.is_ok() {
            self.scene.count(what);
        }
    }

    async fn set_a_limit(&mut self, storage: &PgStorage) {
        let (name, max) = match self.luck.chance(60) {
            true => ("moving", 1 + self.luck.below(3) as u32),
            false => ("queue:r.c", 1 + self.luck.below(9) as u32),
        };
        let rule = LimitRule::concurrency(name, max);
        let rule = self.luck.chance(70).then_some(&rule);
        patiently!(self.scene, storage.set_limit(name, rule, "ada", None)).unwrap();
        self.scene.count("limits set");
    }
}

pub(super) async fn control(scene: &Scene, storage: &PgStorage, verb: ControlVerb) {
    let control = Control {
        verb,
        actor: "race".into(),
        reason: None,
    };
    patiently!(scene, storage.control(&control)).unwrap();
}

/// Declares dead whose beat stands still, or has been declared dead and still holds something.
pub(super) async fn rescue(scene: Arc<Scene>, mut luck: Luck) {
    let storage = scene.storages[luck.below(3)].clone();
    let mut watched: HashMap<(WorkerId, i64), Instant> = HashMap::new();
    while scene.on() {
        let now = Instant::now();
        let presences = patiently!(scene, storage.presences()).unwrap();
        let since = presences.iter().map(|one| (one.worker, one.beat));
        watched = since
            .map(|one| (one, watched.get(&one).copied().unwrap_or(now)))
            .collect();
        for one in presences {
            if one.dead || now - watched[&(one.worker, one.beat)] > SILENCE {
                let limit = 1 + luck.below(30);
                rescue_once(&scene, &storage, one.worker, one.beat, limit).await;
            }
        }
        sleep(luck.millis(30)).await;
    }
}

/// One call of a rescuer. Answers whether there may be more to take back.
pub(super) async fn rescue_once(
    scene: &Scene,
    storage: &PgStorage,
    worker: WorkerId,
    beat: i64,
    limit: usize,
) {
    let request = RescueRequest {
        worker,
        beat,
        lost_limit: LOST_LIMIT,
        lost_reason: LOST_REASON,
        limit,
    };
    let rescued = patiently!(scene, storage.rescue(&request)).unwrap();
    scene.count_many("rescued", rescued.released + rescued.failed);
}

/// Folds, works off, lets in, and removes what is over.
pub(super) async fn keep_house(scene: Arc<Scene>, mut luck: Luck) {
    while scene.on() {
        let storage = scene.storages[luck.below(3)].clone();
        patiently!(scene, storage.tick()).unwrap();
        if luck.chance(3) {
            let retention = Retention {
                succeeded: KEPT,
                failed: KEPT,
                deleted: KEPT,
            };
            let gone = patiently!(scene, storage.retain(&retention)).unwrap();
            scene.count_many("removed", gone);
        }
        sleep(luck.millis(60)).await;
    }
}
