//! What a storage's door tells `tracing`. In a process of its own: who listens is known to all threads.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use jobs_core::job::{ClaimId, JobId, NewJob, WorkerId};
use jobs_core::storage::{ClaimRequest, MemoryStorage, StorageHandle};
use tracing::field;

#[tokio::test]
async fn verbs_have_a_span_with_their_timing() {
    let seen = Arc::new(Seen::default());
    tracing::subscriber::set_global_default(Arc::clone(&seen)).unwrap();
    let storage = StorageHandle::new(MemoryStorage::new());
    let jobs = [1, 2].map(|_| NewJob::new(JobId::new(), "note", "{}"));
    storage.insert(&jobs).await.unwrap();
    let request = ClaimRequest {
        worker: WorkerId::new(),
        claim: ClaimId::new(),
        queues: Vec::new(),
        limit: 0,
        unknown_kinds: [].into(),
    };
    storage.next_due(&request).await.unwrap();
    let fields = seen.0.lock().unwrap().join(" ");
    for expected in [
        r#"verb="insert""#,
        r#"storage="memory""#,
        "items=2",
        "tries=1",
        "micros=",
    ] {
        assert!(fields.contains(expected), "{fields} should have {expected}");
    }
    assert!(fields.contains(r#"verb="next_due""#), "{fields}");
}

/// Keeps the fields of all spans.
#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

struct Fields<'s>(&'s Seen);

impl field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &field::Field, value: &dyn Debug) {
        self.0.0.lock().unwrap().push(format!("{field}={value:?}"));
    }
}

impl tracing::Subscriber for Seen {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut Fields(self));
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut Fields(self));
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
