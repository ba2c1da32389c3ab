//! What is known of jobs, queues and workers: the answers of
//! [`Client::inspect`](crate::Client::inspect).

pub use jobs_core::job::{AttemptRecord, EventRecord, JobRecord};
pub use jobs_core::storage::{
    Inspect, JobFilter, JobPage, Pause, QueueRecord, StatRecord, StateCounts, WorkerInfo,
    WorkerRecord,
};
