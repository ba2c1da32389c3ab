//! Limits, as a storage sees them.

use serde::Serialize;

use crate::job::{Bound, ClaimId, Excess, JobId, LimitRule, WorkerId};

/// A worker's word that it is about to start a job whose starts are limited.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Who.
    pub worker: WorkerId,
    /// The claim that the job was taken under.
    pub claim: ClaimId,
    /// The job.
    pub job: JobId,
    /// Which ownership of it.
    pub run: i32,
}

/// What is known of a limit.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LimitRecord {
    /// The limit, as it holds now.
    pub rule: LimitRule,
    /// What the program declares, if an operator has set something else.
    pub declared: Option<(Bound, Excess)>,
    /// By how much it is used now, all keys together: by jobs that run or wait in their queues, or by
    /// the starts that still count.
    pub used: u64,
    /// How many jobs wait for it.
    pub waiting: u64,
}

impl LimitRecord {
    /// A record of a limit that nobody uses; storages fill in the rest.
    pub fn new(rule: LimitRule) -> Self {
        Self {
            rule,
            declared: None,
            used: 0,
            waiting: 0,
        }
    }
}
