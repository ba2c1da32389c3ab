//! The jobs that are run: they do nothing, so that what is measured is everything else.

use std::time::Duration;

use jobs::prelude::*;

use crate::Result;
use crate::seen::on_job;

const DAY: Duration = Duration::from_secs(86_400);

#[job]
pub(crate) async fn noop(id: u64, data: String) {
    let _ = data;
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

/// Enqueues many at once, as a user would.
pub(crate) async fn enqueue_many(
    client: &Client,
    jobs: Vec<Noop>,
    fill: &crate::options::Fill,
) -> Result<()> {
    if fill.kinds {
        return enqueue_kinds(client, jobs).await;
    }
    let mut many = client.enqueue_many(jobs);
    if let Some(queue) = &fill.queue {
        many = many.queue(queue.clone());
    }
    if fill.scheduled {
        many = many.delay(DAY);
    }
    many.await?;
    Ok(())
}
