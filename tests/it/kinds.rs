//! The jobs that the tests run, in this process and in others. Their names are apart from those of other
//! tests in this program.

use std::time::Duration;

use jobs::{Backoff, Data, JobContext, JobEntry, JobError, job, jobs};

use crate::setup::Effects;

/// The jobs of these kinds; all of them if none is named.
pub(crate) fn named(kinds: &[String]) -> Vec<&'static JobEntry> {
    let mut entries = jobs![
        abort,
        block,
        boom,
        comes_back,
        discards,
        disturbed,
        explode,
        fails,
        fills,
        heeds,
        hold,
        ignores,
        noop,
        not_a_number,
        note,
        one_of_two,
        passes_on,
        renamed,
        rest,
        slow_note,
        snoozes,
        spread,
        ten_a_second,
        tenants
    ];
    entries.retain(|entry| kinds.is_empty() || kinds.iter().any(|kind| kind == entry.kind));
    entries
}

/// Does nothing.
#[job(name = "e2e.noop")]
pub(crate) async fn noop() {}

/// Notes that it ran, and answers what it was given.
#[job(name = "e2e.note")]
pub(crate) async fn note(n: i64, effects: Data<Effects>, ctx: JobContext) -> i64 {
    effects.write("note", &ctx);
    n
}

/// The same, but so slow that a worker takes no more of them than it has slots: what it has taken and cannot start within a
/// second it gives back, and then others may come first.
#[job(name = "e2e.slow_note")]
pub(crate) async fn slow_note(n: i64, effects: Data<Effects>, ctx: JobContext) -> i64 {
    effects.write("note", &ctx);
    tokio::time::sleep(Duration::from_millis(60)).await;
    n
}

/// Runs until the test opens the gate.
#[job(name = "e2e.hold")]
pub(crate) async fn hold(gate: String, effects: Data<Effects>, ctx: JobContext) {
    effects.write("start", &ctx);
    effects.pass(&gate).await;
    effects.write("end", &ctx);
}

/// Takes so long.
#[job(name = "e2e.rest")]
pub(crate) async fn rest(millis: u64, effects: Data<Effects>, ctx: JobContext) {
    effects.write("start", &ctx);
    tokio::time::sleep(Duration::from_millis(millis)).await;
    effects.write("end", &ctx);
}

/// Runs until the test opens the gate, and takes the thread.
#[job(name = "e2e.block")]
pub(crate) fn block(gate: String, effects: Data<Effects>, ctx: JobContext) {
    effects.write("start", &ctx);
    effects.pass_blocking(&gate);
    effects.write("end", &ctx);
}

/// Takes the process with it.
#[job(name = "e2e.abort")]
pub(crate) async fn abort(effects: Data<Effects>, ctx: JobContext) {
    effects.write("start", &ctx);
    std::process::abort();
}

/// Panics.
#[job(name = "e2e.boom", retries = 0)]
pub(crate) async fn boom(words: String) {
    panic!("{words}");
}

/// An error with a cause.
#[derive(Debug)]
pub(crate) struct Trouble(std::num::ParseIntError);

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reading the order failed")
    }
}

impl std::error::Error for Trouble {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Fails for good.
#[job(name = "e2e.explode", retries = 0)]
pub(crate) async fn explode() -> Result<(), Trouble> {
    "x".parse::<i32>().map(drop).map_err(Trouble)
}

/// Fails so many times, and then answers the number of its attempt.
#[job(name = "e2e.fails")]
pub(crate) async fn fails(
    times: u32,
    effects: Data<Effects>,
    ctx: JobContext,
) -> Result<u32, JobError> {
    effects.write("note", &ctx);
    if ctx.attempt() <= times {
        return Err(format!("attempt {} fails", ctx.attempt()).into());
    }
    Ok(ctx.attempt())
}

/// No waiting between attempts.
pub(crate) const AT_ONCE: Backoff = Backoff::Fixed(Duration::ZERO);

/// Runs until it is told to stop, and says so.
#[job(name = "e2e.heeds")]
pub(crate) async fn heeds(effects: Data<Effects>, ctx: JobContext) -> Result<(), JobError> {
    effects.write("start", &ctx);
    ctx.cancellation().cancelled().await;
    effects.write(if ctx.is_lost() { "lost" } else { "cancelled" }, &ctx);
    Err("told to stop".into())
}

/// Is told to stop, says so, and succeeds all the same, once the test opens the gate.
#[job(name = "e2e.ignores")]
pub(crate) async fn ignores(gate: String, effects: Data<Effects>, ctx: JobContext) -> i32 {
    effects.write("start", &ctx);
    if ctx.lost() == 0 {
        ctx.cancellation().cancelled().await;
        effects.write(if ctx.is_lost() { "lost" } else { "cancelled" }, &ctx);
        effects.pass(&gate).await;
    }
    effects.write("end", &ctx);
    ctx.run()
}

/// The first time, runs until it is told to stop, and fails.
#[job(name = "e2e.disturbed", retries = 0)]
pub(crate) async fn disturbed(effects: Data<Effects>, ctx: JobContext) -> Result<(), JobError> {
    effects.write("start", &ctx);
    if effects.of_job("start", ctx.id()).len() > 1 {
        return Ok(());
    }
    ctx.cancellation().cancelled().await;
    effects.write(if ctx.is_lost() { "lost" } else { "cancelled" }, &ctx);
    Err("told to stop".into())
}

/// Enqueues another one, for later, and answers which.
#[job(name = "e2e.passes_on")]
pub(crate) async fn passes_on(millis: u64) -> Result<jobs::JobId, JobError> {
    Ok(note
        .enqueue(1)
        .delay(Duration::from_millis(millis))
        .await?
        .id())
}

/// Stores a batch of jobs that do nothing.
#[job(name = "e2e.fills")]
pub(crate) async fn fills(
    members: u32,
    effects: Data<Effects>,
    ctx: JobContext,
) -> Result<(), JobError> {
    effects.write("start", &ctx);
    let members = noop.enqueue_many((0..members).map(|_| ()));
    jobs::Batch::new().add_many(members).await?;
    effects.write("end", &ctx);
    Ok(())
}

/// Not more than two at once of a tenant.
#[job(name = "e2e.tenants", concurrency(max = 2, key = "{tenant}"))]
pub(crate) async fn tenants(tenant: u32, millis: u64) {
    let _ = tenant;
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Not more than ten start in a second. It takes so long that one slot cannot start as many.
#[job(name = "e2e.spread", rate(max = 10, per = "1s"), retries = 0)]
pub(crate) async fn spread(_n: u32) {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// Answers what JSON cannot say.
#[job(name = "e2e.not_a_number")]
pub(crate) async fn not_a_number() -> f64 {
    f64::NAN
}

/// Takes so long; two of a tenant at once.
#[job(name = "e2e.one_of_two", concurrency(max = 2, key = "{tenant}"))]
pub(crate) async fn one_of_two(
    tenant: String,
    millis: u64,
    effects: Data<Effects>,
    ctx: JobContext,
) {
    effects.write("start", &ctx);
    tokio::time::sleep(Duration::from_millis(millis)).await;
    let _ = tenant;
    effects.write("end", &ctx);
}

/// Starts ten times in any second, everywhere together.
#[job(
    name = "e2e.ten_a_second",
    rate(max = 10, per = "1s", kind = "sliding")
)]
pub(crate) async fn ten_a_second() {}

/// Once had another name.
#[job(name = "e2e.renamed", aliases("e2e.before"))]
pub(crate) async fn renamed(effects: Data<Effects>, ctx: JobContext) {
    effects.write("note", &ctx);
}

/// Sees no sense in trying again.
#[job(name = "e2e.discards")]
pub(crate) async fn discards() -> Result<(), JobError> {
    Err(JobError::discard("the order was withdrawn"))?
}

/// Wants to be tried again after an hour.
#[job(name = "e2e.comes_back")]
pub(crate) async fn comes_back() -> Result<(), JobError> {
    Err(JobError::retry_after(Duration::from_secs(3_600)))?
}

/// Snoozes so many times.
#[job(name = "e2e.snoozes")]
pub(crate) async fn snoozes(
    times: usize,
    effects: Data<Effects>,
    ctx: JobContext,
) -> Result<(), JobError> {
    effects.write("note", &ctx);
    if effects.of_job("note", ctx.id()).len() <= times {
        Err(JobError::snooze(Duration::from_millis(1)))?;
    }
    Ok(())
}
