//! What all parts of one incarnation of a worker share.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::appetite::Appetite;
use super::config::Config;
use super::held::{Held, Taken};
use super::ledger::Ledger;
use super::running::{Cancelled, Running};
use super::serving::Serving;
use super::settler::Settler;
use crate::client::Client;
use crate::handler::{DataMap, Registry, WorkerScope};
use crate::job::{ClaimId, JobId, WorkerId};
use crate::lifecycle::{Outcome, RetryPolicy, Standing, Transition, decide};
use crate::storage::{ClaimRequest, ClaimedJob, QueueShare, Settlement, StorageHandle, WorkerInfo};

/// How many unknown kinds are excluded from claims at most; jobs of others are given back each time.
const MOST_UNKNOWN: usize = 1_000;

/// What all parts of one incarnation of a worker share.
pub(super) struct Crew {
    pub(super) id: WorkerId,
    pub(super) storage: StorageHandle,
    pub(super) config: Arc<Config>,
    pub(super) serving: Arc<Serving>,
    pub(super) registry: Arc<Registry>,
    pub(super) scope: Arc<WorkerScope>,
    pub(super) client: Client,
    pub(super) ledger: Arc<Ledger>,
    pub(super) settler: Arc<Settler>,
    pub(super) held: Held,
    pub(super) running: Running,
    pub(super) appetite: Appetite,
    /// Woken when running jobs may have been taken away from this worker.
    pub(super) check_revoked: Notify,
    /// Woken when a runner has ended.
    pub(super) runner_ended: Notify,
    /// Drops what still runs.
    pub(super) abort: CancellationToken,
    /// Where its jobs run, whoever hands them over: a caller's own runtime may end with the call.
    pub(super) runtime: Handle,
    unknown: Mutex<Unknown>,
}

/// Kinds that claims leave to others, and the same as claims want it.
#[derive(Default)]
struct Unknown {
    kinds: BTreeSet<Arc<str>>,
    listed: Arc<[String]>,
}

/// What a worker was set up with; incarnations come and go.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) storage: StorageHandle,
    pub(super) config: Arc<Config>,
    pub(super) serving: Arc<Serving>,
    pub(super) registry: Arc<Registry>,
    pub(super) client: Client,
    pub(super) data: Arc<DataMap>,
}

/// Tells of a failure as it happens, whether or not it can be written down.
fn log(job: &ClaimedJob, transition: &Transition) {
    let (id, kind, queue) = (job.id, &*job.kind, &*job.queue);
    match transition {
        Transition::Fail { reason, .. } => {
            warn!(job = %id, kind, queue, reason, "an attempt failed; there will be no other");
        }
        Transition::Retry { reason, .. } => {
            debug!(job = %id, kind, queue, reason, "an attempt failed");
        }
        _ => {}
    }
}

impl Crew {
    pub(super) fn new(setup: &Setup, id: WorkerId) -> Self {
        let Setup {
            storage,
            config,
            serving,
            registry,
            client,
            data,
        } = setup.clone();
        let ledger = Arc::new(Ledger::default());
        let settler = Arc::new(Settler::new(storage.clone(), id, Arc::clone(&ledger)));
        let scope = WorkerScope::new(id, storage.clone(), client.clone(), data);
        Self {
            id,
            held: Held::new(config.concurrency, serving.caps()),
            scope: Arc::new(scope),
            storage,
            config,
            serving,
            registry,
            client,
            ledger,
            settler,
            running: Running::default(),
            appetite: Appetite::default(),
            check_revoked: Notify::new(),
            runner_ended: Notify::new(),
            abort: CancellationToken::new(),
            runtime: Handle::current(),
            unknown: Mutex::default(),
        }
    }

    /// Whether others must take this worker for dead by now.
    pub(super) fn is_lost(&self) -> bool {
        self.scope.is_lost()
    }

    pub(super) fn serves(&self, queue: &str) -> bool {
        self.serving.now().serves(queue)
    }

    /// What this worker says of itself.
    pub(super) fn info(&self) -> WorkerInfo {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .or_else(|| std::env::var("HOSTNAME").ok())
            .or_else(|| std::env::var("COMPUTERNAME").ok());
        let mut info = WorkerInfo::new(self.id);
        info.host = host.unwrap_or_default().trim().to_owned();
        info.queues = self.serving.names();
        info.kinds = self
            .registry
            .names()
            .into_iter()
            .map(str::to_owned)
            .collect();
        info.concurrency = self.config.concurrency;
        info
    }

    pub(super) fn claim_request(
        &self,
        claim: ClaimId,
        limit: usize,
        queues: Vec<QueueShare>,
    ) -> ClaimRequest {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown_kinds = Arc::clone(&unknown.listed);
        ClaimRequest {
            worker: self.id,
            claim,
            queues,
            limit,
            unknown_kinds,
        }
    }

    /// A request that only looks; it takes nothing.
    pub(super) fn claim_request_for_looking(&self) -> ClaimRequest {
        let rooms = self.held.caps().iter().map(|_| 1).collect::<Vec<_>>();
        let shares = self.serving.now().remainder(1, &rooms, || 0.5);
        self.claim_request(ClaimId::new(), 0, shares)
    }

    /// Whether this worker can run the job. If not, the job goes back, no attempt used, and its kind is
    /// left out of further claims: another worker, perhaps a newer one, knows it.
    pub(super) fn knows(&self, taken: &Taken) -> bool {
        let kind = &taken.job.kind;
        if self.registry.find(kind).is_some() {
            return true;
        }
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.kinds.len() < MOST_UNKNOWN && unknown.kinds.insert(Arc::clone(kind)) {
            warn!(
                kind = &**kind,
                "this worker knows no job of this kind and leaves it to others; if it should: is the \
                 crate that declares it linked (`use my_jobs as _;`)?"
            );
            unknown.listed = unknown.kinds.iter().map(|kind| kind.to_string()).collect();
        }
        drop(unknown);
        let reason = format!("worker {} knows no kind `{kind}`", self.id);
        self.settle_unstarted(taken, Outcome::Released { reason });
        false
    }

    /// These were deleted, or are another worker's by now: those that run are cancelled, and those that are held are not
    /// started.
    pub(super) fn revoke(&self, jobs: &HashSet<JobId>) {
        for job in jobs {
            self.running.cancel(*job, Cancelled::Revoked);
        }
        for taken in self.held.take_if(|taken| jobs.contains(&taken.job.id)) {
            let reason = "it was deleted before it was started".into();
            self.settle_unstarted(&taken, Outcome::Released { reason });
        }
    }

    pub(super) fn settle_unstarted(&self, taken: &Taken, outcome: Outcome) {
        self.settle(
            &taken.job,
            taken.claim,
            None,
            &RetryPolicy::default(),
            outcome,
        );
    }

    pub(super) fn settle(
        &self,
        job: &ClaimedJob,
        claim: ClaimId,
        ran_for: Option<Duration>,
        policy: &RetryPolicy,
        outcome: Outcome,
    ) {
        let standing = Standing {
            attempt: job.attempt,
            policy,
        };
        let transition = decide(&standing, outcome, fastrand::f64());
        log(job, &transition);
        self.settler.put(Settlement {
            job: job.id,
            run: job.run,
            claim,
            kind: Arc::clone(&job.kind),
            queue: Arc::clone(&job.queue),
            attempt: job.attempt,
            ran_for,
            ended_ago: Duration::ZERO,
            transition,
        });
    }
}
