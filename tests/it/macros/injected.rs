//! Parameters that the worker fills in.

use jobs::prelude::*;
use jobs::{Client, Requirement};

use super::stage;

#[derive(Clone, Debug, PartialEq)]
struct Mailer(&'static str);

/// The tenant that a job works for.
struct Tenant(String);

impl FromContext for Tenant {
    async fn from_context(ctx: &JobContext) -> Result<Self, JobError> {
        tokio::task::yield_now().await;
        let tenant = ctx
            .tags()
            .iter()
            .find_map(|tag| tag.strip_prefix("tenant:"));
        Ok(Self(
            tenant.ok_or("the job has no tag `tenant:…`")?.to_owned(),
        ))
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::data::<u64>()]
    }
}

type Aliased = Data<Mailer>;

#[job(name = "injected.everything", retries = 0)]
#[allow(clippy::too_many_arguments)]
async fn everything(
    Data(mailer): Data<Mailer>,
    first: u8,
    ctx: JobContext,
    #[inject] tenant: Tenant,
    second: &str,
    #[inject] again: Aliased,
    #[inject] client: Client,
    name: jobs::prelude::Data<&'static str>,
) -> String {
    assert_eq!(mailer, again.0);
    assert_eq!(
        client.inspect().job(ctx.id()).await.unwrap().unwrap().id,
        ctx.id()
    );
    format!(
        "{} {first} {} {second} {} {}",
        mailer.0,
        tenant.0,
        *name,
        ctx.attempt()
    )
}

#[job(name = "injected.blocking")]
fn blocking(ctx: JobContext, number: u8, #[inject] tenant: Tenant, mailer: Data<Mailer>) -> String {
    format!("{} {number} {} {}", ctx.kind(), tenant.0, mailer.0.0)
}

#[tokio::test]
async fn everything_is_filled_in() {
    let client = Client::new(jobs::connect("memory:").await.unwrap());
    let worker = Worker::builder(client.storage().clone())
        .jobs(jobs![everything, blocking])
        .data(Mailer("post"))
        .data("name")
        .data(7_u64)
        .start()
        .await
        .unwrap();
    let handle = everything
        .enqueue(1, "two")
        .tag("tenant:acme")
        .on(&client)
        .await
        .unwrap();
    assert_eq!(handle.result().await.unwrap(), "post 1 acme two name 1");
    let handle = blocking
        .enqueue(3)
        .tag("tenant:acme")
        .on(&client)
        .await
        .unwrap();
    assert_eq!(
        handle.result().await.unwrap(),
        "injected.blocking 3 acme post"
    );
    let handle = everything.enqueue(1, "two").on(&client).await.unwrap();
    let reason = handle.wait().await.unwrap().reason.unwrap();
    assert_eq!(reason, "Failed, no retries: the job has no tag `tenant:…`");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_without_what_its_jobs_need_does_not_start() {
    let storage = jobs::connect("memory:").await.unwrap();
    let worker = Worker::builder(storage)
        .jobs(jobs![everything, blocking])
        .data("name");
    let error = worker.start().await.unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 5, "{error}");
    assert!(
        lines[0].starts_with("injected.blocking (tests/it/macros/injected.rs:"),
        "{error}"
    );
    assert!(
        error.contains("needs Data<u64>: give this worker one with .data(..)"),
        "{error}"
    );
    assert_eq!(error.matches("injected::Mailer>").count(), 3, "{error}");
}

#[job(name = "injected.chain")]
async fn chain(left: u32, ctx: JobContext) -> Result<u32, jobs::Error> {
    if left > 0 {
        // The worker's own client, without any being installed.
        let next = chain.enqueue(left - 1).await?;
        assert_ne!(next.id(), ctx.id());
    }
    Ok(left)
}

#[tokio::test]
async fn a_job_enqueues_with_its_workers_client() {
    let (client, worker) = stage(jobs![chain]).await;
    let handle = chain.enqueue(1).on(&client).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 1);
    worker.stop().await;
}
