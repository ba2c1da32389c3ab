//! Panics, with the place they came from.
//!
//! What unwinds is only the message; the place is known to the panic hook alone, which runs on the
//! panicking thread before the unwinding. So a hook (in front of the one that was there) notes it in a
//! thread-local, and whoever catches the panic on the same thread picks it up.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::pin::Pin;
use std::sync::Once;

use crate::job::{AttemptOutcome, ErrorReport};
use crate::lifecycle::{Advice, Failure, Outcome};

/// A panic that was caught.
#[derive(Clone, Debug)]
pub struct Panic {
    /// What was said.
    pub message: String,
    /// Where, as `src/mail.rs:11:5`, unless another panic hook kept that from us.
    pub location: Option<String>,
    /// A backtrace, if one was captured (`RUST_BACKTRACE=1`).
    pub backtrace: Option<String>,
}

impl Panic {
    fn new(payload: Box<dyn Any + Send>) -> Self {
        // Caught on another thread, see `blocking`: its place is not here, but in itself.
        let payload = match payload.downcast::<Self>() {
            Ok(panic) => return *panic,
            Err(payload) => payload,
        };
        let Site {
            location,
            backtrace,
        } = SITE.take().unwrap_or_default();
        let message = match (
            payload.downcast_ref::<&str>(),
            payload.downcast_ref::<String>(),
        ) {
            (Some(text), _) => (*text).to_owned(),
            (_, Some(text)) => text.clone(),
            _ => "a panic without words".to_owned(),
        };
        Self {
            message,
            location,
            backtrace,
        }
    }

    /// Everything known about it, to be kept.
    pub fn report(&self) -> ErrorReport {
        let mut report = ErrorReport::new(format!("panicked: {}", self.message));
        if let Some(location) = &self.location {
            report = report.with_location(location);
        }
        match &self.backtrace {
            Some(trace) => report.with_backtrace(trace),
            None => report,
        }
    }
}

impl From<Panic> for Outcome {
    fn from(panic: Panic) -> Self {
        Self::Failed(Failure {
            report: panic.report(),
            how: AttemptOutcome::Panicked,
            advice: Advice::Policy,
        })
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message, location, ..
        } = self;
        match location {
            Some(location) => write!(f, "panicked at {location}: {message}"),
            None => write!(f, "panicked: {message}"),
        }
    }
}

/// Runs the future to its end, or to its panic. A panic while it is dropped is caught too.
///
/// ```
/// # use jobs_core::handler::catch_panic;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let panic = catch_panic(Box::pin(async { panic!("out of paper") })).await.unwrap_err();
/// assert_eq!(panic.message, "out of paper");
/// assert!(panic.location.is_some());
/// # });
/// ```
pub async fn catch_panic<F: Future + Unpin>(mut future: F) -> Result<F::Output, Panic> {
    let polled = std::future::poll_fn(|cx| match catch(|| Pin::new(&mut future).poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Err(panic).into(),
    })
    .await;
    let dropped = catch(move || drop(future));
    // What went wrong first says more.
    polled.and_then(|output| dropped.map(|()| output))
}

/// Runs the closure to its end, or to its panic.
pub(crate) fn catch<R>(run: impl FnOnce() -> R) -> Result<R, Panic> {
    note_sites();
    // What the closure leaves half done is never used again: a job's run ends with its panic.
    catch_unwind(AssertUnwindSafe(run)).map_err(Panic::new)
}

#[derive(Default)]
struct Site {
    location: Option<String>,
    backtrace: Option<String>,
}

thread_local! {
    static SITE: RefCell<Option<Site>> = const { RefCell::new(None) };
}

fn note_sites() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            note(info);
            before(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let trace = Backtrace::capture();
    let site = Site {
        location: info.location().map(ToString::to_string),
        backtrace: (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string()),
    };
    // A panic while the thread's own data is being destroyed has nobody to be noted for.
    let _ = SITE.try_with(|slot| slot.replace(Some(site)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn message_and_place_are_kept() {
        let line = line!() + 1;
        let panic = catch_panic(Box::pin(async { panic!("lost {}", 7) }))
            .await
            .unwrap_err();
        let place = format!("{}:{line}:", file!());
        assert_eq!(panic.message, "lost 7");
        assert!(
            panic
                .location
                .as_deref()
                .is_some_and(|location| location.starts_with(&place)),
            "{panic}"
        );
        let Outcome::Failed(failure) = panic.into() else {
            panic!("not failed")
        };
        assert_eq!(failure.how, AttemptOutcome::Panicked);
        assert_eq!(failure.report.message, "panicked: lost 7");
    }

    #[tokio::test]
    async fn a_blocking_function_panics_with_its_own_place() {
        let line = line!() + 1;
        let run = || panic!("no paper");
        let panic = catch_panic(Box::pin(crate::handler::blocking::<()>(run)))
            .await
            .unwrap_err();
        assert_eq!(panic.message, "no paper");
        assert!(
            panic
                .location
                .unwrap()
                .contains(&format!("panic.rs:{line}:"))
        );
    }

    #[tokio::test]
    async fn a_panic_in_a_drop_is_caught() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                if !std::thread::panicking() {
                    panic!("dropped");
                }
            }
        }
        struct Held(#[allow(dead_code)] Bomb);
        impl Future for Held {
            type Output = ();
            fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<()> {
                std::task::Poll::Ready(())
            }
        }
        let panic = catch_panic(Held(Bomb)).await.unwrap_err();
        assert_eq!(panic.message, "dropped");
    }

    #[tokio::test]
    async fn what_ends_well_is_passed_on() {
        assert_eq!(catch_panic(Box::pin(async { 7 })).await.unwrap(), 7);
        assert_eq!(crate::handler::blocking(|| 8).await, 8);
    }

    #[test]
    fn a_blocking_function_that_was_dropped_before_it_started_does_not_start() {
        // A runtime with one thread to block, and that is busy.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (release, busy) = std::sync::mpsc::channel::<()>();
        let (ran, was_run) = std::sync::mpsc::channel();
        runtime.spawn_blocking(move || busy.recv());
        let queued = ran.clone();
        runtime.block_on(async move {
            let mut queued = Box::pin(crate::handler::blocking(move || queued.send("dropped")));
            assert!(
                std::future::poll_fn(|cx| std::task::Poll::Ready(queued.as_mut().poll(cx)))
                    .await
                    .is_pending()
            );
        });
        release.send(()).unwrap();
        runtime
            .block_on(crate::handler::blocking(move || ran.send("later")))
            .unwrap();
        assert_eq!(was_run.iter().collect::<Vec<_>>(), ["later"]);
        runtime.shutdown_background();
    }
}
