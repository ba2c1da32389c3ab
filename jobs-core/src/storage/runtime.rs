//! What storages need of a program.

use tokio::runtime::Handle;

use crate::error::{Error, Result};

/// Fails if there is no tokio runtime around whoever calls: without one the drivers of databases, and timers, panic.
/// Storages that need one ask this before anything else.
///
/// # Errors
///
/// [`Error::Setup`], which says what is missing. `doing` is what was tried.
pub fn check_runtime(doing: &str) -> Result<()> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::Setup(format!(
            "{doing}: this is called outside of a tokio runtime, and the storage needs one, with time and I/O enabled: \
             call it within `#[tokio::main]`, or within `block_on` of a runtime that was built with `enable_all`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_runtime_it_says_what_is_missing() {
        let error = check_runtime("look").unwrap_err();
        assert!(matches!(error, Error::Setup(_)));
        assert!(error.to_string().starts_with("look: "), "{error}");
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let inside = runtime.unwrap().block_on(async { check_runtime("look") });
        inside.unwrap();
    }
}
