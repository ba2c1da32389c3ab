//! One run of a job's function, from the stored arguments to the outcome. What `#[job]` expands to
//! calls these, so that the expansion stays short.

use serde::de::DeserializeOwned;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{BoxFuture, FromContext, JobContext, JobEntry, JobError, JobOutput, decode, panic};
use crate::job::{ARGS_LIMIT, AttemptOutcome, ErrorReport, encode_result};
use crate::lifecycle::{Advice, Failure, Outcome, Success};

/// Decodes the arguments, calls the function by way of `run`, and says how that ended.
pub fn perform<A, T, F, R>(
    entry: &'static JobEntry,
    ctx: JobContext,
    run: F,
) -> BoxFuture<'static, Outcome>
where
    A: DeserializeOwned + Send + 'static,
    T: JobOutput,
    F: FnOnce(A, JobContext) -> R + Send + 'static,
    R: Future<Output = Result<T, JobError>> + Send + 'static,
{
    Box::pin(async move {
        let args = match decode::decode(ctx.kind(), ctx.args()) {
            Ok(args) => args,
            Err(failure) => return Outcome::Failed(*failure),
        };
        match run(args, ctx.clone()).await {
            Ok(_) if ctx.has_completed() => rolled_back(),
            Ok(value) => Outcome::Succeeded(success(&value)),
            Err(error) => error.into_outcome(entry),
        }
    })
}

/// A success with this result. What cannot be kept leaves a note in its place: the work is done, and
/// doing it again would not help.
fn success<T: JobOutput>(value: &T) -> Success {
    match encode_result(value, ARGS_LIMIT) {
        Ok(result) => Success { result, note: None },
        Err(why) => Success {
            result: None,
            note: Some(format!("Its result could not be kept: {why}")),
        },
    }
}

/// The outcome of a handler that completed its job in a transaction of its own. If that was committed,
/// the storage refuses this as settled already; if it counts, the transaction was not committed.
fn rolled_back() -> Outcome {
    let why = "its transaction was rolled back after `complete_within`, or never committed";
    Outcome::Failed(Failure {
        report: ErrorReport::new(why),
        how: AttemptOutcome::Failed,
        advice: Advice::Policy,
    })
}

/// A parameter that is not an argument.
pub async fn inject<T: FromContext>(ctx: &JobContext) -> Result<T, JobError> {
    T::from_context(ctx).await
}

/// Runs a plain function where it may block. Its panic goes on here, with its place.
///
/// When this future is dropped, a function that has not started does not start any more; one that
/// runs cannot be stopped, it has to look at [`JobContext::is_cancelled`].
pub async fn blocking<R: Send + 'static>(run: impl FnOnce() -> R + Send + 'static) -> R {
    let span = tracing::Span::current();
    let mut task = AbortOnDrop(spawn_blocking(move || span.in_scope(|| panic::catch(run))));
    match (&mut task.0).await {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => std::panic::resume_unwind(Box::new(panic)),
        // The runtime is going down and takes this task with it.
        Err(_) => std::future::pending().await,
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
