//! Calls from outside of a tokio runtime, where drivers and timers panic.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::error::{Error, Result};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, as an executor does that knows nothing of tokio.
pub fn without_runtime<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

/// Asserts that a call of a storage, made outside of a tokio runtime, fails with an [`Error::Setup`] that says what is
/// missing. `what` names the call.
///
/// # Panics
///
/// If the call succeeds, or with another error.
pub fn assert_needs_runtime<T>(what: &str, call: impl Future<Output = Result<T>>) {
    let error = without_runtime(call).err();
    let error = error.unwrap_or_else(|| panic!("{what} went well"));
    assert!(matches!(error, Error::Setup(_)), "{what}: {error:?}");
    let said = error.to_string();
    for words in ["outside of a tokio runtime", "enable_all"] {
        assert!(said.contains(words), "{what}: {said}");
    }
}
