//! The jobs that are run: they do nothing, so that what is measured is everything else.

use std::time::Duration;

use jobs::prelude::*;

use crate::Result;
use crate::options::{Fill, Sort};
use crate::seen::{Running, on_job};

/// How many tenants the jobs with limits belong to.
pub(crate) const TENANTS: u64 = 50;

const DAY: Duration = Duration::from_secs(86_400);

#[job]
pub(crate) async fn noop(id: u64, data: String) {
    let _ = data;
    on_job(id);
}

/// Runs when the job has succeeded that it waits for.
#[job]
pub(crate) async fn child(id: u64) {
    on_job(id);
}

/// One of these runs in an hour: all others wait. Not a job that is measured.
#[job(rate(max = 1, per = "1h"))]
pub(crate) async fn barred(id: u64) {
    let _ = id;
}

/// Of each tenant two at once.
#[job(concurrency(max = 2, key = "{tenant}"))]
pub(crate) async fn two_at_once(id: u64, tenant: u64) {
    let running = Running::of(tenant);
    tokio::task::yield_now().await;
    on_job(id);
    drop(running);
}

/// Of each tenant more in a second than there are: what is measured is the looking.
#[job(rate(max = 1_000_000, per = "1s", key = "{tenant}"))]
pub(crate) async fn rated(id: u64, tenant: u64) {
    let _ = tenant;
    on_job(id);
}

/// A thousand in any second.
#[job(rate(max = 1_000, per = "1s"))]
pub(crate) async fn thousand_a_second(id: u64) {
    on_job(id);
}

macro_rules! kinds {
    ($($function:ident $name:ident $queue:tt)*) => {
        $(
            #[job(queue = $queue)]
            async fn $function(id: u64, data: String) {
                let _ = data;
                on_job(id);
            }
        )*

        /// Enqueues a job of each of the kinds in turn.
        async fn enqueue_kinds(client: &Client, jobs: Vec<Noop>) -> Result<()> {
            const KINDS: usize = [$($queue),*].len();
            let mut parts: [Vec<Noop>; KINDS] = Default::default();
            for job in jobs {
                parts[job.id as usize % KINDS].push(job);
            }
            let mut parts = parts.into_iter();
            $(
                let part = parts.next().unwrap_or_default().into_iter();
                let part = part.map(|Noop { id, data }| $name { id, data });
                client.enqueue_many(part).await?;
            )*
            Ok(())
        }
    };
}

kinds! {
    a1 A1 "a" a2 A2 "a" a3 A3 "a" a4 A4 "a" a5 A5 "a"
    b1 B1 "b" b2 B2 "b" b3 B3 "b" b4 B4 "b" b5 B5 "b"
    c1 C1 "c" c2 C2 "c" c3 C3 "c" c4 C4 "c" c5 C5 "c"
    d1 D1 "d" d2 D2 "d" d3 D3 "d" d4 D4 "d" d5 D5 "d"
}

/// The queues of all kinds.
pub(crate) const QUEUES: [&str; 5] = ["default", "a", "b", "c", "d"];

impl Noop {
    /// A job of this number, `{"id": 7, "data": "test_7"}`, or with so many bytes that no compression
    /// makes smaller.
    pub(crate) fn new(id: u64, bytes: usize) -> Self {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        if bytes == 0 {
            let data = format!("test_{id}");
            return Self { id, data };
        }
        let mut x = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let next = |_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            char::from(ALPHABET[(x >> 58) as usize])
        };
        let data = (0..bytes).map(next).collect();
        Self { id, data }
    }
}

/// Enqueues one, plain or of a kind that a limit counts.
pub(crate) async fn enqueue_one(client: &Client, id: u64, limited: bool) -> jobs::Result<()> {
    match limited {
        false => client.enqueue(Noop::new(id, 0)).await.map(drop),
        true => {
            let tenant = id % TENANTS;
            client.enqueue(TwoAtOnce { id, tenant }).await.map(drop)
        }
    }
}

/// Enqueues many at once, as a user would.
pub(crate) async fn enqueue_many(client: &Client, jobs: Vec<Noop>, fill: &Fill) -> Result<()> {
    let tenant = |id: u64| id % TENANTS;
    let ids = jobs
        .iter()
        .map(|job| job.id)
        .collect::<Vec<_>>()
        .into_iter();
    match fill.sort {
        Sort::Plain => {
            let mut many = client.enqueue_many(jobs);
            if let Some(queue) = &fill.queue {
                many = many.queue(queue.clone());
            }
            if fill.scheduled {
                many = many.delay(DAY);
            }
            many.await?;
        }
        Sort::Kinds => enqueue_kinds(client, jobs).await?,
        Sort::Parents => enqueue_parents(client, jobs).await?,
        Sort::Barred => {
            client.enqueue_many(ids.map(|id| Barred { id })).await?;
        }
        Sort::TwoAtOnce => {
            let jobs = ids.map(|id| TwoAtOnce {
                id,
                tenant: tenant(id),
            });
            client.enqueue_many(jobs).await?;
        }
        Sort::Rated => {
            let jobs = ids.map(|id| Rated {
                id,
                tenant: tenant(id),
            });
            client.enqueue_many(jobs).await?;
        }
        Sort::ThousandASecond => {
            let jobs = ids.map(|id| ThousandASecond { id });
            client.enqueue_many(jobs).await?;
        }
    }
    Ok(())
}

/// Each with a child, whose number is greater by this.
pub(crate) const CHILDREN: u64 = 10_000_000;

async fn enqueue_parents(client: &Client, jobs: Vec<Noop>) -> Result<()> {
    let ids: Vec<u64> = jobs.iter().map(|job| job.id).collect();
    let parents = client.enqueue_many(jobs).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for (id, parent) in ids.into_iter().zip(parents.ids()) {
        let (client, parent) = (client.clone(), *parent);
        tasks.spawn(async move {
            let follows = client.enqueue(Child { id: id + CHILDREN });
            follows.after_ids([parent]).await.map(drop)
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
