//! Who takes part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use super::super::stage::at_most;
use super::client::{LIMIT, MOST};
use super::ledger::Ledger;
use super::worker::Worker;
use crate::job::{Due, JobId, WorkerId};
use crate::lifecycle::{LOST_LIMIT, LOST_REASON};
use crate::storage::{
    Command, Control, ControlVerb, JobFilter, Presence, RescueRequest, Scope, StorageHandle, Verb,
};

pub(super) const QUEUES: [&str; 3] = ["r.a", "r.b", "r.c"];
pub(super) const KINDS: [&str; 3] = ["x", "y", "z"];

/// How long a worker's beat stands still before it is taken for dead.
const SILENCE: Duration = Duration::from_millis(120);

/// Operators meddle with the jobs stored last: those are on their way.
const RECENT: usize = 300;

#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Client,
    Worker,
    Rescuer,
    Operator,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Worker => "worker",
            Self::Rescuer => "rescuer",
            Self::Operator => "operator",
        }
    }
}

/// One who takes part, with luck of its own.
pub(super) struct Actor {
    pub(super) role: Role,
    pub(super) luck: Rng,
    pub(super) storage: StorageHandle,
    pub(super) ledger: Arc<Ledger>,
    /// Whether jobs have rules.
    pub(super) rules: bool,
    stop: Arc<AtomicBool>,
}

impl Actor {
    /// Who takes part in one round: from four to ten.
    pub(super) fn cast(
        luck: &mut Rng,
        storage: &StorageHandle,
        ledger: &Arc<Ledger>,
        rules: bool,
        stop: &Arc<AtomicBool>,
    ) -> Vec<Self> {
        use Role::{Client, Operator, Rescuer, Worker};
        let mut roles = vec![Client, Worker, Rescuer, Operator];
        for role in [Worker, Worker, Client, Worker, Rescuer, Operator] {
            if luck.u8(..3) > 0 {
                roles.push(role);
            }
        }
        let mut actor = |role| Self {
            role,
            luck: luck.fork(),
            storage: storage.clone(),
            ledger: Arc::clone(ledger),
            rules,
            stop: Arc::clone(stop),
        };
        roles.into_iter().map(&mut actor).collect()
    }

    pub(super) async fn play(self) {
        match self.role {
            Role::Client => self.enqueue().await,
            Role::Worker => Worker::new(self).await.work().await,
            Role::Rescuer => self.rescue().await,
            Role::Operator => self.operate().await,
        }
    }

    pub(super) fn on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// True this often in a hundred.
    pub(super) fn chance(&mut self, percent: u8) -> bool {
        self.luck.u8(..100) < percent
    }

    pub(super) async fn pause(&mut self, millis: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.luck.u64(millis))).await;
    }

    /// Declares dead whose beat stands still, or has been declared dead and still holds something.
    async fn rescue(mut self) {
        let mut watched: Vec<(Presence, tokio::time::Instant)> = Vec::new();
        while self.on() {
            let now = tokio::time::Instant::now();
            let presences = self.storage.presences().await.expect("presences");
            let since = |one: &Presence| {
                let before = watched
                    .iter()
                    .find(|(seen, _)| (seen.worker, seen.beat) == (one.worker, one.beat));
                before.map_or(now, |(_, since)| *since)
            };
            watched = presences.iter().map(|one| (*one, since(one))).collect();
            for (one, since) in watched.clone() {
                if one.dead || now - since > SILENCE {
                    let limit = self.luck.usize(1..30);
                    rescue_once(&self.storage, &self.ledger, one.worker, one.beat, limit).await;
                }
            }
            if self.chance(20) {
                self.storage.tick().await.expect("tick");
            }
            self.pause(5..30).await;
        }
    }

    async fn operate(mut self) {
        while self.on() {
            match self.luck.u8(..100) {
                0..15 => self.pause_or_resume().await,
                15..25 => self.look().await,
                25..28 if self.rules => self.cancel_a_batch().await,
                28..32 if self.rules => self.set_a_limit().await,
                _ => self.order().await,
            }
            self.pause(1..8).await;
        }
    }

    async fn order(&mut self) {
        let jobs = self.some_recent_jobs();
        let verb = match self.luck.u8(..10) {
            0..3 => Verb::Delete,
            3..6 => Verb::Requeue,
            6..8 => Verb::RunNow,
            _ => Verb::Reschedule(Due::In(Duration::from_millis(self.luck.u64(..60)))),
        };
        let command = Command {
            verb,
            jobs,
            actor: "race".into(),
            reason: None,
        };
        let answers = self.storage.command(&command).await.expect("command");
        self.ledger.ordered(&command, &answers);
    }

    pub(super) fn some_recent_jobs(&mut self) -> Vec<JobId> {
        let n = self.luck.usize(1..6);
        let recent: Vec<JobId> = {
            let books = self.ledger.books();
            books.jobs.iter().rev().take(RECENT).copied().collect()
        };
        self.luck.choose_multiple(recent, n)
    }

    async fn pause_or_resume(&mut self) {
        let scope = if self.chance(50) {
            let queue = self.luck.choice(QUEUES).expect("some");
            Scope::queues(queue)
        } else {
            let kind = self.luck.choice(KINDS).expect("some");
            Scope::kind(kind)
        };
        let scope = scope.expect("a name");
        let end = self
            .chance(50)
            .then_some(Due::In(Duration::from_millis(30)));
        let verb = match self.chance(40) {
            true => ControlVerb::Pause(scope, end),
            false => ControlVerb::Resume(scope),
        };
        let control = Control {
            verb,
            actor: "race".into(),
            reason: None,
        };
        self.storage.control(&control).await.expect("control");
    }

    async fn cancel_a_batch(&mut self) {
        let Some(id) = self.recent_batch() else {
            return;
        };
        // Not the actor of other orders: its events are counted by themselves.
        let gone = self.storage.cancel_batch(id, "canceller", None).await;
        self.ledger.books().cancelled += gone.expect("cancel_batch");
    }

    async fn set_a_limit(&mut self) {
        let rule = at_most(LIMIT, self.luck.u32(1..=MOST));
        let rule = self.chance(80).then_some(&rule);
        let set = self.storage.set_limit(LIMIT, rule, "ada", None).await;
        set.expect("set_limit");
    }

    async fn look(&mut self) {
        let counts = self.storage.counts().await.expect("counts");
        let page = self
            .storage
            .jobs(&JobFilter::default())
            .await
            .expect("jobs");
        assert!(page.jobs.len() <= 50 && (counts.awaiting == 0 || self.rules));
        if self.rules {
            self.storage.limits().await.expect("limits");
        }
        self.storage.queues().await.expect("queues");
        self.storage.workers().await.expect("workers");
    }
}

/// One call of a rescuer.
pub(super) async fn rescue_once(
    storage: &StorageHandle,
    ledger: &Ledger,
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
    let rescued = storage.rescue(&request).await.expect("rescue");
    ledger.rescued(rescued);
}
