//! What is known of jobs, queues and workers: the answers of
//! [`Client::inspect`](crate::Client::inspect).

pub use jobs_core::job::{AttemptRecord, EventRecord, JobRecord};
pub use jobs_core::storage::{
    ControlEvent, Controls, Inspect, JobFilter, JobPage, OrderRecord, Pause, PauseRecord,
    QueueRecord, Scope, StatRecord, StateCounts, WorkerInfo, WorkerRecord,
};
