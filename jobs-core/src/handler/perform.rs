//! One run of a job's function, from the stored arguments to the outcome. What `#[job]` expands to
//! calls these, so that the expansion stays short.

use serde::de::DeserializeOwned;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{BoxFuture, JobContext, JobEntry, JobError, decode, panic};
use crate::client::carrying_scope;
use crate::job::{AttemptOutcome, ErrorReport};
use crate::lifecycle::{Advice, Failure, Outcome, Success};

/// Decodes the arguments, calls the function by way of `run`, and says how that ended.
pub fn perform<A, F, R>(
    entry: &'static JobEntry,
    ctx: JobContext,
    run: F,
) -> BoxFuture<'static, Outcome>
where
    A: DeserializeOwned + Send + 'static,
    F: FnOnce(A, JobContext) -> R + Send + 'static,
    R: Future<Output = Result<Success, JobError>> + Send + 'static,
{
    Box::pin(async move {
        let args = match decode::decode(ctx.kind(), ctx.args()) {
            Ok(args) => args,
            Err(failure) => return Outcome::Failed(*failure),
        };
        match run(args, ctx.clone()).await {
            Ok(_) if ctx.has_completed() => rolled_back(),
            Ok(success) => Outcome::Succeeded(success),
            Err(error) => error.into_outcome(entry),
        }
    })
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

/// Runs a plain function where it may block. Its panic goes on here, with its place.
///
/// When this future is dropped, a function that has not started does not start any more; one that
/// runs cannot be stopped, it has to look at [`JobContext::is_cancelled`].
pub async fn blocking<R: Send + 'static>(run: impl FnOnce() -> R + Send + 'static) -> R {
    let span = tracing::Span::current();
    let run = carrying_scope(run);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::Deserialize;

    use super::*;
    use crate::handler::expansion::{injected, success};
    use crate::handler::{Data, JobOutput};
    use crate::job::ARGS_LIMIT;

    #[derive(Deserialize)]
    struct Args {
        number: f64,
    }

    static ENTRY: JobEntry = JobEntry {
        perform: |ctx| {
            perform(
                &ENTRY,
                ctx,
                |args: Args, _| async move { success(args.number) },
            )
        },
        ..JobEntry::TEST
    };

    async fn outcome(args: &str) -> Outcome {
        (ENTRY.perform)(JobContext::for_test().args(args).build()).await
    }

    async fn returning<T: JobOutput>(value: T) -> Success {
        let ctx = JobContext::for_test().args(r#"{"number":1}"#).build();
        let run = |_: Args, _| async move { success(value) };
        match perform(&ENTRY, ctx, run).await {
            Outcome::Succeeded(success) => success,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_result_is_kept_to_the_digit() {
        let Outcome::Succeeded(success) = outcome(r#"{"number":0.1}"#).await else {
            panic!("failed")
        };
        assert_eq!(
            success,
            Success {
                result: Some("0.1".into()),
                note: None
            }
        );
        let big = returning(u64::MAX).await;
        assert_eq!(big.result.as_deref(), Some("18446744073709551615"));
    }

    #[tokio::test]
    async fn nothing_is_kept_of_nothing() {
        assert_eq!(returning(()).await, Success::default());
        assert_eq!(returning(None::<u8>).await, Success::default());
    }

    #[tokio::test]
    async fn a_result_that_cannot_be_kept_is_a_success_with_a_note() {
        let many = "x".repeat(ARGS_LIMIT);
        for (success, why) in [
            (returning(f64::NAN).await, "NaN"),
            (returning("a\0b").await, "NUL"),
            (returning(many).await, "too large"),
        ] {
            let note = success.note.unwrap();
            assert!(success.result.is_none() && note.contains(why), "{note}");
        }
    }

    #[tokio::test]
    async fn arguments_that_do_not_decode_are_given_up() {
        let Outcome::Failed(failure) = outcome(r#"{"number":"1"}"#).await else {
            panic!("not failed")
        };
        let why = "its arguments do not decode: kind `test`, field `number`: invalid type: string \"1\", expected f64, in `\"1\"`";
        assert_eq!(failure.advice, Advice::GiveUp(why.into()));
    }

    #[tokio::test]
    async fn what_is_injected_fails_like_the_job_itself() {
        let run = |_: Args, ctx: JobContext| async move {
            let wait = (injected::<Data<Duration>>().get)(&ctx).await?;
            success(wait.as_secs())
        };
        let ctx = JobContext::for_test().args(r#"{"number":1}"#).build();
        let Outcome::Failed(failure) = perform(&ENTRY, ctx, run).await else {
            panic!("not failed")
        };
        assert_eq!(failure.advice, Advice::Policy);
        assert!(
            failure
                .report
                .message
                .contains("no Data<core::time::Duration>"),
            "{}",
            failure.report
        );
    }
}
