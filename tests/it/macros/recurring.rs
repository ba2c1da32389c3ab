//! `#[recurring(..)]`, alone and beside `#[job(..)]`.

use std::time::Duration;

use jobs::prelude::*;
use jobs::schedule::{Misfire, MisfireRule};
use jobs::{Days, JobEntry, JobFn, Origin, Overlap, RecurringRecord};

use super::stage;

/// Alone.
#[recurring("0 3 * * *", tz = "Europe/Berlin")]
async fn alone() {}

/// Below `#[job]`, more than once, with arguments.
#[job(name = "recurring.below", queue = "mail", tags("digest"))]
#[recurring("0 9 * * MON", id = "monday", args(list = "team", urgent = false))]
#[recurring("@every 6h", id = "often", queue = "fast", args(urgent = 1 + 1 == 2, list = String::from("on call")))]
async fn below(list: String, urgent: bool) -> String {
    format!("{list} {urgent}")
}

/// Above `#[job]`, in another spelling, on a plain function, with every option.
#[jobs::recurring(
    "0 0 13 * 5",
    id = "all-options",
    tz = "America/New_York",
    days = "both",
    misfire = "all",
    grace = "30s",
    cap = 7,
    overlap = "queue",
    jitter = "5m",
    starts = "2026-12-01",
    ends = "2030-06-30 18:00"
)]
#[job(name = "recurring.above")]
fn above(#[job(default)] note: Option<String>, ctx: JobContext) {
    let _ = (note, ctx.occurrence());
}

fn entry(job: impl JobFn) -> &'static JobEntry {
    job.entry()
}

async fn record(client: &Client, id: &str) -> RecurringRecord {
    let found = client.recurring(id).get().await.unwrap();
    found.unwrap_or_else(|| panic!("{id} is not stored"))
}

#[tokio::test]
async fn alone_it_makes_a_job_too() {
    alone().await;
    let entry = entry(alone);
    assert_eq!(entry.kind, "alone");
    let [recurring] = entry.recurring else {
        panic!("{:?}", entry.recurring)
    };
    assert_eq!((recurring.id, recurring.zone), ("alone", "Europe/Berlin"));
    let place = recurring.location().to_string();
    assert!(place.contains("recurring.rs:"), "{place}");
    let (client, worker) = stage(jobs![alone]).await;
    let record = record(&client, "alone").await;
    assert_eq!(record.describe(), "at 03:00 every day, Europe/Berlin");
    assert!(matches!(record.origin, Origin::Code));
    worker.stop().await;
}

#[tokio::test]
async fn several_on_one_function_are_several() {
    let (client, worker) = stage(jobs![below]).await;
    let all = client.all_recurring().await.unwrap();
    let ids: Vec<_> = all.iter().map(|record| &*record.id).collect();
    assert_eq!(ids, ["monday", "often"]);
    let monday = record(&client, "monday").await.spec;
    assert_eq!(monday.args, r#"{"list":"team","urgent":false}"#);
    assert_eq!((&*monday.kind, &*monday.queue), ("recurring.below", "mail"));
    assert_eq!(monday.options.tags, ["digest"]);
    let often = record(&client, "often").await.spec;
    assert_eq!(often.args, r#"{"list":"on call","urgent":true}"#);
    assert_eq!(often.queue, "fast");
    let run = client.recurring("often").trigger().await.unwrap();
    let answer: String = client.handle(run.job).result().await.unwrap();
    assert_eq!(answer, "on call true");
    worker.stop().await;
}

#[tokio::test]
async fn every_option_is_stored() {
    let (client, worker) = stage(jobs![above]).await;
    let spec = record(&client, "all-options").await.spec;
    let timing = spec.timing;
    assert_eq!(timing.schedule, "0 0 13 * 5");
    assert_eq!(timing.zone, "America/New_York");
    assert_eq!(timing.days, Some(Days::Both));
    let time = |text: &str| Some(text.parse().unwrap());
    assert_eq!(timing.starts, time("2026-12-01T05:00:00Z"));
    assert_eq!(timing.ends, time("2030-06-30T22:00:00Z"));
    let rule = MisfireRule {
        misfire: Misfire::All,
        grace: Duration::from_secs(30),
        cap: 7,
    };
    assert_eq!(spec.misfire, rule);
    assert_eq!(spec.overlap, Overlap::Queue);
    assert_eq!(spec.jitter, Duration::from_secs(300));
    assert_eq!(spec.args, r#"{"note":null}"#);
    worker.stop().await;
}

mod twice {
    use jobs::prelude::*;

    #[job(name = "recurring.first")]
    #[recurring("@daily", id = "same")]
    pub(super) async fn first() {}

    #[job(name = "recurring.second")]
    #[recurring("@hourly", id = "same")]
    pub(super) async fn second() {}
}

#[tokio::test]
async fn two_of_one_id_are_told_with_their_places() {
    let storage = jobs::connect("memory:").await.unwrap();
    let worker = Worker::builder(storage).jobs(jobs![twice::first, twice::second]);
    let error = worker.build().unwrap_err().to_string();
    let (start, rest) = error.split_once(": ").unwrap();
    assert_eq!(start, "recurring job \"same\" twice");
    assert_eq!(rest.matches("recurring.rs:").count(), 2, "{rest}");
    assert!(rest.contains("id = "), "{rest}");
}

#[tokio::test]
async fn a_worker_may_leave_it_to_others() {
    let client = Client::new(jobs::connect("memory:").await.unwrap());
    let worker = Worker::builder(client.storage().clone()).jobs(jobs![alone]);
    let worker = worker.recurring(false).start().await.unwrap();
    assert!(client.all_recurring().await.unwrap().is_empty());
    worker.stop().await;
}
