//! What one job was given beyond its kind's own settings.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Backoff, Occurrence};

/// What one job was given when it was enqueued and that differs from its kind's declaration; stored
/// with the job. An absent field means: as the kind declares it in the worker that runs the job.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StoredOptions {
    /// How often a failed attempt is repeated. Defaults to the kind's, and there to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long to wait before a retry. Defaults to the kind's, and there to [`Backoff::Polynomial`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// How long one attempt may take. Defaults to the kind's, and there to no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How long the job is kept once it is finished. Defaults to the worker's retention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<Duration>,
    /// Labels to find the job by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What else is known of it, by name, for handlers and for people.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Metadata>,
    /// Which occurrence of a recurring job it is a run of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurrence: Option<Occurrence>,
}

/// One value of a job's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The value.
    pub value: String,
    /// Whether jobs that are enqueued by this job's handler get it too, and theirs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherit: bool,
}

impl StoredOptions {
    /// Whether nothing was given, as with most jobs: such options are not stored at all.
    pub fn is_default(&self) -> bool {
        let Self {
            retries,
            backoff,
            timeout,
            keep_for,
            tags,
            metadata,
            occurrence,
        } = self;
        retries.is_none()
            && backoff.is_none()
            && timeout.is_none()
            && keep_for.is_none()
            && tags.is_empty()
            && metadata.is_empty()
            && occurrence.is_none()
    }
}
