//! What a job is: its identity, its spec, its options, and what is known of it later.
//!
//! Nothing here is async and nothing here knows a database.

mod args;
mod backoff;
mod definition;
mod id;
mod key;
mod limit;
mod name;
mod options;
mod priority;
mod queue_order;
mod record;
mod recurring;
mod report;
mod rules;
mod spec;
mod state;

pub use args::{ARGS_LIMIT, ArgsError, decode_args, decode_result, encode_args, encode_result};
pub use backoff::Backoff;
pub use definition::{Job, JobDefaults, LimitDefaults, UniqueDefaults, Weight};
pub use id::{BatchId, ClaimId, IdError, JobId, WorkerId};
pub(crate) use key::{Fields, KEY_LIMIT};
pub use limit::{Bound, Excess, LimitRule, LimitUse};
pub use name::{
    NameError, QueuePattern, check_kind, check_limit, check_metadata, check_node, check_queue,
    check_tag,
};
pub use options::{Metadata, StoredOptions};
pub use priority::Priority;
pub use queue_order::QueueOrder;
pub use record::{AttemptOutcome, AttemptRecord, EventRecord, JobRecord};
pub use recurring::{
    Deed, Occurrence, Origin, Overlap, RecurringPause, RecurringRecord, RecurringRun,
    RecurringSpec, Timing,
};
pub use report::ErrorReport;
pub use rules::{Condition, Input, OnConflict, Parent, ParentId, Rules, Unique, UniqueUntil};
pub use spec::{Due, NewJob};
pub use state::State;
