//! The jobs that are run: they do nothing, so that what is measured is everything else.

use std::time::Duration;

use jobs::Client;
use jobs::{Job, JobDefaults};
use jobs_core::handler::{BoxFuture, EntryRef, JobContext, JobEntry, perform};
use jobs_core::lifecycle::Outcome;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::seen::on_job;

const DAY: Duration = Duration::from_secs(86_400);

macro_rules! kind {
    ($name:ident, $kind:literal, $queue:expr) => {
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub(crate) struct $name {
            pub(crate) id: u64,
            pub(crate) data: String,
        }

        impl Job for $name {
            const KIND: &'static str = $kind;
            type Output = ();
            const DEFAULTS: JobDefaults = JobDefaults {
                queue: $queue,
                ..JobDefaults::NONE
            };
        }

        const _: () = {
            static ENTRY: JobEntry = JobEntry {
                kind: $kind,
                aliases: &[],
                file: file!(),
                line: line!(),
                module: module_path!(),
                defaults: $name::DEFAULTS,
                blocking: false,
                arguments: &[],
                requires: Vec::new,
                retry_if: None,
                perform: run,
            };
            fn run(ctx: JobContext) -> BoxFuture<'static, Outcome> {
                perform(&ENTRY, ctx, |args: $name, _| async move {
                    on_job(args.id);
                    Ok(())
                })
            }
            inventory::submit!(EntryRef(&ENTRY));
        };
    };
}

kind!(Noop, "noop", None);

macro_rules! kinds {
    ($($name:ident $kind:literal $queue:literal)*) => {
        $(kind!($name, $kind, Some($queue));)*

        /// Enqueues a job of each of the kinds in turn.
        async fn enqueue_kinds(client: &Client, jobs: Vec<Noop>) -> Result<()> {
            const KINDS: usize = [$($kind),*].len();
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
    A1 "a1" "a" A2 "a2" "a" A3 "a3" "a" A4 "a4" "a" A5 "a5" "a"
    B1 "b1" "b" B2 "b2" "b" B3 "b3" "b" B4 "b4" "b" B5 "b5" "b"
    C1 "c1" "c" C2 "c2" "c" C3 "c3" "c" C4 "c4" "c" C5 "c5" "c"
    D1 "d1" "d" D2 "d2" "d" D3 "d3" "d" D4 "d4" "d" D5 "d5" "d"
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
