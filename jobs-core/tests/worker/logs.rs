//! What is told of failures.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobs_core::job::{Backoff, JobDefaults, State};
use tracing::{Level, field, span};

use crate::setup::{enqueue, kind, storage, until_state, worker};

#[tokio::test]
async fn each_failed_attempt_is_told_and_the_last_one_louder() {
    // Of this thread alone, which is also the worker's.
    let told = Arc::new(Told::default());
    let _listens = tracing::subscriber::set_default(Arc::clone(&told));
    let storage = storage();
    let job = kind("failing_loudly", JobDefaults::NONE, |_| {
        Box::pin(async { panic!("out of paper") })
    });
    let running = worker(&storage, vec![job])
        .retries(1)
        .backoff(Backoff::Fixed(Duration::ZERO))
        .start()
        .await
        .unwrap();
    let id = enqueue(&storage, "failing_loudly").await;
    until_state(&storage, id, State::Failed).await;
    running.stop().await;

    let told = told.0.lock().unwrap();
    let of_the_job = told
        .iter()
        .filter(|(_, text)| text.contains("out of paper"));
    let of_the_job: Vec<_> = of_the_job.collect();
    assert_eq!(of_the_job.len(), 2, "{of_the_job:?}");
    assert_eq!(of_the_job[0].0, Level::DEBUG);
    assert_eq!(of_the_job[1].0, Level::WARN);
    for wanted in [format!("job={id}"), "failing_loudly".into()] {
        assert!(of_the_job[1].1.contains(&wanted), "{of_the_job:?}");
    }
}

/// Keeps the level and the fields of every event.
#[derive(Default)]
struct Told(Mutex<Vec<(Level, String)>>);

struct Text(String);

impl field::Visit for Text {
    fn record_debug(&mut self, field: &field::Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl tracing::Subscriber for Told {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0
            .lock()
            .unwrap()
            .push((*event.metadata().level(), text.0));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
