//! How much of a processor an idle storage takes, alone and while somebody listens, as each worker does:
//! `cargo run --release -p jobs-sqlite --example idle`. Linux only, as it reads `/proc`.

use std::time::{Duration, Instant};

use jobs_core::storage::StorageHandle;
use jobs_sqlite::SqliteStorage;

/// How long each is watched.
const WATCH: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = std::env::temp_dir().join(format!("jobs-sqlite-idle-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder");
    let storage = SqliteStorage::builder().path(folder.join("jobs.db"));
    let storage: StorageHandle = storage.connect().await.expect("it opens").into();
    watch("open").await;
    let listener = storage.wake();
    watch("somebody listens").await;
    drop(listener);
    let _ = std::fs::remove_dir_all(&folder);
}

/// Prints the share of one processor that this process takes meanwhile.
async fn watch(what: &str) {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (begun, before) = (Instant::now(), ticks());
    tokio::time::sleep(WATCH).await;
    // A tick is a hundredth of a second.
    let used = (ticks() - before) as f64 / 100.0;
    println!(
        "{what}: {:.2} %",
        used / begun.elapsed().as_secs_f64() * 100.0
    );
}

/// Processor time of this process so far, user and system, in ticks.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit(')').next().expect("a name in brackets");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |at: usize| fields[at].parse::<u64>().expect("a number");
    field(11) + field(12)
}
