//! Metadata: what is known of a job by name, and what jobs hand down to those that they enqueue.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use super::settings::Settings;
use crate::error::{Error, Result};
use crate::job::{Metadata, StoredOptions, check_metadata};

/// How long one value may be, in bytes.
const LONGEST: usize = 4 * 1024;

/// How long all names and values of a job may be together, in bytes.
const MOST: usize = 16 * 1024;

/// What the jobs of a handler inherit.
pub(crate) type Inherited = Arc<BTreeMap<String, Metadata>>;

tokio::task_local! {
    static INHERITED: Inherited;
}

/// What of a job's metadata is handed down; `None` if nothing is, as with most jobs.
pub(crate) fn handed_down(options: Option<&StoredOptions>) -> Option<Inherited> {
    let metadata = &options?.metadata;
    let handed_down = metadata.iter().filter(|(_, value)| value.inherit);
    let handed_down: BTreeMap<_, _> = handed_down
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (!handed_down.is_empty()).then(|| Arc::new(handed_down))
}

/// Runs a handler whose jobs inherit this.
pub(crate) async fn handing_down<F: Future>(inherited: Option<Inherited>, handler: F) -> F::Output {
    match inherited {
        Some(inherited) => INHERITED.scope(inherited, handler).await,
        None => handler.await,
    }
}

/// Takes what is inherited along to another thread.
pub(super) fn carrying<R>(run: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let inherited = INHERITED.try_with(Arc::clone).ok();
    move || match inherited {
        Some(inherited) => INHERITED.sync_scope(inherited, run),
        None => run(),
    }
}

impl Settings {
    pub(super) fn metadata(&mut self, name: String, value: String, inherit: bool) {
        if let Err(error) = check(&name, &value) {
            self.refuse(error);
        }
        self.options
            .metadata
            .insert(name, Metadata { value, inherit });
    }
}

/// Adds what is inherited to what was given, which comes first.
pub(super) fn inherit(options: &mut StoredOptions) -> Result<()> {
    let _ = INHERITED.try_with(|inherited| {
        for (name, value) in &**inherited {
            options
                .metadata
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
    });
    let size: usize = options
        .metadata
        .iter()
        .map(|(name, metadata)| name.len() + metadata.value.len())
        .sum();
    if size <= MOST {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "the metadata of a job, with what it inherits, may have {MOST} bytes at most, and this has {size}: keep the \
         data elsewhere and store where it is"
    )))
}

fn check(name: &str, value: &str) -> Result<()> {
    check_metadata(name)?;
    let why = match value.len() {
        _ if value.contains('\0') => {
            "contains a NUL character, which databases do not store as text".into()
        }
        0..=LONGEST => return Ok(()),
        length => format!("has {length} bytes, and {LONGEST} at most are kept"),
    };
    Err(Error::Invalid(format!("the metadata `{name}` {why}")))
}
