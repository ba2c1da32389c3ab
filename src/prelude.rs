//! What most files with jobs in them need: `use jobs::prelude::*;`

pub use crate::{
    Backoff, Batch, Client, Data, Flow, FromContext, Job, JobContext, JobError, JobHandle, JobId,
    Priority, Worker, days, hours, job, jobs, minutes, recurring, seconds,
};
