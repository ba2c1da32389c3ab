//! Several processes on one file. The others are this very test binary, told by its environment to play a
//! part.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use jobs_core::job::{JobId, NewJob, State};
use jobs_core::lifecycle::{LOST_LIMIT, LOST_REASON};
use jobs_core::storage::{Inspect, RescueRequest, Storage, Wake};
use jobs_sqlite::SqliteStorage;

use crate::stage::{Folder, PATIENCE, claim, flush, new_job, worker};

const PART: &str = "JOBS_SQLITE_PART";
const FILE: &str = "JOBS_SQLITE_FILE";

/// Another process that plays a part on the folder's file. Killed in the end.
struct Actor {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
    hears: ChildStdin,
}

impl Actor {
    fn start(part: &str, folder: &Folder) -> Self {
        let program = std::env::current_exe().expect("this test binary");
        let mut child = Command::new(program)
            .args(["--exact", "processes::play", "--ignored", "--nocapture"])
            .env(PART, part)
            .env(FILE, folder.file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("another process");
        let says = BufReader::new(child.stdout.take().expect("its voice")).lines();
        let hears = child.stdin.take().expect("its ear");
        let mut actor = Self { child, says, hears };
        while actor.line() != "ready" {}
        actor
    }

    /// The next line that it says.
    fn line(&mut self) -> String {
        let line = self.says.next().expect("it goes on");
        line.expect("it can be read")
    }

    fn go(&mut self) {
        writeln!(self.hears, "go").expect("it listens");
    }

    /// What it said up to its end; the ids among it.
    fn rest(self) -> Vec<JobId> {
        let Self {
            mut child, says, ..
        } = self;
        let ids = says
            .map_while(Result::ok)
            .filter_map(|line| line.parse().ok());
        let ids = ids.collect();
        child.wait().expect("it has ended");
        ids
    }

    /// As `kill -9` does it; answers what it said before.
    fn kill(mut self) -> Vec<JobId> {
        self.child.kill().expect("it can be killed");
        self.rest()
    }
}

fn say(line: impl std::fmt::Display) {
    // Straight to the pipe: what was not said before the kill must not be taken for said.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn wait_for_go() {
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// The other process. Run by the tests of this module, never on its own.
#[test]
#[ignore = "played by other processes"]
fn play() {
    let (Ok(part), Ok(file)) = (std::env::var(PART), std::env::var(FILE)) else {
        return;
    };
    // Whoever waits for what it says must not wait for ever.
    std::thread::spawn(|| {
        std::thread::sleep(5 * PATIENCE);
        std::process::exit(3);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let storage = SqliteStorage::builder().path(file).connect().await.unwrap();
        match part.as_str() {
            "insert for ever" => insert_for_ever(storage).await,
            "insert one" => insert_one(storage).await,
            "work" => work(storage).await,
            "hold" => hold(storage).await,
            other => panic!("no such part: {other}"),
        }
    });
}

async fn insert_for_ever(storage: SqliteStorage) {
    say("ready");
    wait_for_go();
    let insert = |size: usize| {
        let storage = storage.clone();
        tokio::spawn(async move {
            loop {
                let jobs: Vec<NewJob> = (0..size).map(|_| new_job()).collect();
                for answer in storage.insert(&jobs).await.unwrap() {
                    say(answer.id);
                }
            }
        })
    };
    let tasks = [1, 1, 3, 20].map(insert);
    // They end with the process.
    let [first, ..] = tasks;
    first.await.unwrap();
}

async fn insert_one(storage: SqliteStorage) {
    say("ready");
    wait_for_go();
    let inserted = storage.insert(&[new_job()]).await.unwrap();
    say(inserted[0].id);
}

/// Works until everything is finished.
async fn work(storage: SqliteStorage) {
    let worker = worker(&storage).await;
    say("ready");
    wait_for_go();
    loop {
        let (id, claimed) = claim(&storage, worker, 7).await;
        for job in &claimed.jobs {
            say(job.id);
        }
        if !claimed.jobs.is_empty() {
            let refused = storage.settle(&flush(worker, id, &claimed.jobs)).await;
            assert_eq!(refused.unwrap(), []);
        } else if storage.counts().await.unwrap().unfinished() == 0 {
            return;
        }
    }
}

/// Takes jobs and never lets go.
async fn hold(storage: SqliteStorage) {
    let worker = worker(&storage).await;
    let (_, claimed) = claim(&storage, worker, 100).await;
    say("ready");
    for job in claimed.jobs {
        say(job.id);
    }
    wait_for_go();
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = Folder::new();
    let mut acknowledged = HashSet::new();
    for round in 1..=3 {
        let mut actor = Actor::start("insert for ever", &folder);
        actor.go();
        for _ in 0..100 * round {
            acknowledged.extend(actor.line().parse::<JobId>());
        }
        acknowledged.extend(actor.kill());
    }
    assert!(acknowledged.len() > 500);
    let storage = folder.open().await;
    for id in &acknowledged {
        let job = storage.job(*id).await.unwrap();
        let job = job.unwrap_or_else(|| panic!("job {id} was acknowledged and is lost"));
        assert_eq!(job.state, State::Enqueued);
    }
    let whole: (i64, i64, String) = sqlx::query_as(
        "select (select count(*) from jobs_job),
                (select count(*) from jobs_ticket t join jobs_job j on j.id = t.job_id),
                (select * from pragma_integrity_check)",
    )
    .fetch_one(storage.pool())
    .await
    .unwrap();
    assert_eq!(whole.0, whole.1, "each job has its ticket");
    assert_eq!(whole.2, "ok");
}

#[tokio::test]
async fn processes_share_the_work_and_do_everything_once() {
    const JOBS: usize = 1_500;
    let folder = Folder::new();
    let storage = folder.open().await;
    let jobs: Vec<NewJob> = (0..JOBS).map(|_| new_job()).collect();
    storage.insert(&jobs).await.unwrap();
    let mut actors: Vec<_> = (0..3).map(|_| Actor::start("work", &folder)).collect();
    actors.iter_mut().for_each(Actor::go);
    let done: Vec<JobId> = actors.into_iter().flat_map(Actor::rest).collect();
    let distinct: HashSet<JobId> = done.iter().copied().collect();
    assert_eq!((done.len(), distinct.len()), (JOBS, JOBS));
    assert_eq!(distinct, jobs.iter().map(|job| job.id).collect());
    let counts = storage.counts().await.unwrap();
    assert_eq!((counts.succeeded as usize, counts.unfinished()), (JOBS, 0));
    let hour = chrono::TimeDelta::hours(1);
    let (from, to) = (storage.now() - hour, storage.now() + hour);
    let stats = storage.stats(from, to).await.unwrap();
    let counted: u64 = stats.iter().map(|stat| stat.succeeded).sum();
    assert_eq!(
        counted as usize, JOBS,
        "no outcome is counted twice or missed"
    );
}

#[tokio::test]
async fn the_jobs_of_a_killed_process_are_rescued() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let jobs: Vec<NewJob> = (0..100).map(|_| new_job()).collect();
    storage.insert(&jobs).await.unwrap();
    let mut actor = Actor::start("hold", &folder);
    let held: HashSet<JobId> = (0..100).map(|_| actor.line().parse().unwrap()).collect();
    assert_eq!(held.len(), 100);
    actor.kill();
    assert_eq!(storage.counts().await.unwrap().processing, 100);

    let presence = storage.presences().await.unwrap()[0];
    let request = RescueRequest {
        worker: presence.worker,
        beat: presence.beat,
        lost_limit: LOST_LIMIT,
        lost_reason: LOST_REASON,
        limit: 1_000,
    };
    let rescued = storage.rescue(&request).await.unwrap();
    assert_eq!(
        (rescued.released, rescued.failed, rescued.more),
        (100, 0, false)
    );
    for id in held {
        let job = storage.job(id).await.unwrap().unwrap();
        assert_eq!(job.state, State::Enqueued);
        assert_eq!((job.attempt, job.lost, job.run), (0, 1, 1));
    }
}

#[tokio::test]
async fn a_process_hears_of_what_another_stores() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let mut wakes = storage.wake();
    let mut actor = Actor::start("insert one", &folder);
    // What happened before does not count.
    while wakes.try_recv().is_ok() {}
    actor.go();
    let heard = async {
        loop {
            if wakes.recv().await.expect("the storage is there") == Wake::Everything
                && storage.counts().await.unwrap().enqueued == 1
            {
                return;
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await;
    heard.expect("the hint comes");
    actor.rest();
}
