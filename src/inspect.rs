//! What is known of jobs, queues and workers: the answers of
//! [`Client::inspect`](crate::Client::inspect).

pub use jobs_core::job::{AttemptRecord, EventRecord, JobRecord, Metadata, Rules};
pub use jobs_core::storage::{
    BatchRecord, ControlEvent, Controls, Inspect, JobFilter, JobPage, LimitRecord, OrderRecord,
    Pause, PauseRecord, QueueRecord, Scope, StatRecord, StateCounts, WorkerInfo, WorkerRecord,
};
