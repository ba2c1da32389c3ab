//! What most files with jobs in them need: `use jobs::prelude::*;`

pub use crate::{
    Client, Data, FromContext, JobContext, JobError, JobHandle, JobId, Priority, Worker, days,
    hours, jobs, minutes, seconds,
};
