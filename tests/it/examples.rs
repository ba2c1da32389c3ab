//! The examples, as their readers run them.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use jobs::inspect::StateCounts;

use crate::setup::{PATIENCE, until};

/// An example that Cargo has built along with this test.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(
        built.exists(),
        "{} is missing: run `cargo build --examples`",
        built.display()
    );
    let mut command = Command::new(built);
    command.stdin(Stdio::null()).env_remove("DATABASE_URL");
    command
}

/// How long an example may take. It says that one hangs.
const LONGEST: Duration = Duration::from_secs(600);

fn output(command: &mut Command) -> Output {
    let running = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = running.id();
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(running.wait_with_output().unwrap()));
    let Ok(output) = end.recv_timeout(LONGEST) else {
        let kill = format!("kill -KILL {pid}");
        let _ = Command::new("sh").args(["-c", &kill]).status();
        panic!("{command:?}: not ended after {LONGEST:?}");
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}\n{complained}",
        output.status
    );
    output
}

fn says(command: &mut Command, wanted: &[&str]) -> String {
    let said = String::from_utf8(output(command).stdout).unwrap();
    for words in wanted {
        assert!(
            said.contains(words),
            "{command:?} does not say {words:?}:\n{said}"
        );
    }
    said
}

#[test]
fn hello() {
    says(
        &mut example("hello"),
        &["Hello, world! Hello, world! Hello, world!"],
    );
}

#[test]
fn retries() {
    let wanted = [
        "third time lucky",
        "Discarded: user 42 has left",
        "Retry 1 of 1 in 0 s",
    ];
    says(&mut example("retries"), &wanted);
}

#[test]
fn recurring() {
    let wanted = [
        "at 03:00 on weekdays, Europe/Berlin",
        "made: the run of",
        "declared: the run of",
        "heartbeat: every second, paused",
    ];
    says(&mut example("recurring"), &wanted);
}

#[test]
fn shared_state() {
    says(
        &mut example("shared_state"),
        &["needs Data<", "welcome to acme", "2 mails were sent"],
    );
}

#[test]
fn graceful_shutdown() {
    says(
        &mut example("graceful_shutdown"),
        &["short: finished", "Enqueued, attempts used: 0"],
    );
}

#[test]
fn transactional() {
    let wanted = [
        "order 1\n",
        "cannot be negative",
        "order 1 is confirmed",
        "1 job was stored",
    ];
    says(&mut example("transactional"), &wanted);
}

#[test]
fn pipeline() {
    let root = std::env::temp_dir().join(format!("jobs-pipeline-{}", std::process::id()));
    for (directory, files) in [("a", 5), ("b/c", 3)] {
        let directory = root.join("files").join(directory);
        fs::create_dir_all(&directory).unwrap();
        for number in 0..files {
            fs::write(directory.join(number.to_string()), "one\ntwo\n").unwrap();
        }
    }
    let report = root.join("report.txt");
    let mut command = example("pipeline");
    let said = says(
        command.arg(root.join("files")).arg(&report),
        &["it runs every 2 seconds", "8 files, see "],
    );
    assert!(said.matches("8 files, see ").count() >= 2, "{said}");
    let report = fs::read_to_string(report).unwrap();
    let wanted = [
        "/files/a: 5 files, 10 lines, 40 bytes\n",
        "/files/b/c: 3 files, 6 lines, 24 bytes\n",
    ];
    for words in wanted {
        assert!(report.contains(words), "{report}");
    }
    fs::remove_dir_all(root).unwrap();
}

/// A folder with files of several kinds, and the demo's own files beside it; removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: usize) -> Self {
        let root = std::env::temp_dir().join(format!("jobs-demo-{name}-{}", std::process::id()));
        let files_in = root.join("files").join("below");
        fs::create_dir_all(&files_in).unwrap();
        fs::create_dir_all(root.join("tmp")).unwrap();
        for number in 0..files {
            fs::write(
                files_in.join(format!("{number}.rs")),
                format!("fn f{number}() {{}}\n"),
            )
            .unwrap();
        }
        fs::write(root.join("files/binary.bin"), [0, 159, 146, 150]).unwrap();
        Self(root)
    }

    fn demo(&self) -> Command {
        let mut command = example("demo");
        command
            .arg(self.0.join("files"))
            .env("TMPDIR", self.0.join("tmp"));
        command
    }

    /// The demo's database, once there is one.
    fn database(&self) -> Option<String> {
        let mut files = fs::read_dir(self.0.join("tmp")).unwrap();
        let file = files.find_map(|file| {
            let path = file.unwrap().path();
            path.extension()
                .is_some_and(|is| is == "db")
                .then_some(path)
        });
        file.map(|path| format!("sqlite://{}", path.display()))
    }

    /// How many of the demo's jobs stand where. While it makes its tables they cannot be looked at.
    async fn counts(&self) -> Option<StateCounts> {
        let storage = jobs::connect(&self.database()?).await.ok()?;
        storage.inspect().counts().await.ok()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What every run of the demo over such a folder ends with.
fn all_of(files: usize) -> Vec<String> {
    let files = format!("Rust{files:>20}");
    let failed = "    1 x Discarded: a binary file has no lines to count".to_owned();
    vec![files, failed, "look_back".into(), " jobs in ".into()]
}

fn demo_says(command: &mut Command, files: usize) {
    let wanted = all_of(files);
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    says(command, &wanted);
}

#[test]
fn the_demo_analyses_a_folder() {
    let folder = Folder::new("plain", 200);
    demo_says(&mut folder.demo(), 200);
    // A second run starts anew.
    demo_says(&mut folder.demo(), 200);
}

#[test]
fn the_demo_runs_in_several_processes() {
    let folder = Folder::new("processes", 200);
    demo_says(folder.demo().args(["--workers", "2"]), 200);
}

#[test]
fn the_demo_runs_on_postgresql() {
    let url = std::env::var("TEST_DATABASE_URL").expect("no PostgreSQL: run ./test");
    let folder = Folder::new("postgresql", 200);
    demo_says(folder.demo().env("DATABASE_URL", url), 200);
}

/// Waits until some of the demo's jobs have ended, but not all; or it has ended.
async fn until_it_is_at_work(folder: &Folder, demo: &mut Child) {
    let look = async || folder.counts().await;
    until("the demo is at work", PATIENCE, look, |counts| {
        let at_work = counts.is_some_and(|it| it.succeeded > 0 && it.unfinished() > 0);
        at_work || demo.try_wait().unwrap().is_some()
    })
    .await;
}

/// Kills a demo in the middle of its work on so many files; none if it was too fast for that.
async fn killed_demo(files: usize) -> Option<Folder> {
    let folder = Folder::new(&format!("killed-{files}"), files);
    let mut demo = folder.demo().stdout(Stdio::null()).spawn().unwrap();
    until_it_is_at_work(&folder, &mut demo).await;
    demo.kill().unwrap();
    demo.wait().unwrap();
    let left = folder.counts().await?.unfinished();
    (left > 0).then_some(folder)
}

#[tokio::test]
async fn a_killed_demo_is_finished_by_the_next() {
    let mut files = 3_000;
    let folder = loop {
        if let Some(folder) = killed_demo(files).await {
            break folder;
        }
        assert!(files < 100_000, "it was too fast each time");
        files *= 3;
    };
    let wanted = all_of(files);
    let mut wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    wanted.push("Continuing a run that was interrupted");
    says(&mut folder.demo(), &wanted);
}

#[test]
fn the_demo_says_what_is_wrong_with_its_options() {
    for (arguments, words) in [
        (
            ["--workers", "none"],
            "--workers takes a number from 1 to 64",
        ),
        (["/no/such/folder", "--workers"], "usage"),
        (["--speed", "9"], "unknown option --speed"),
    ] {
        let output = example("demo").args(arguments).output().unwrap();
        let complained = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && complained.contains(words),
            "{complained}"
        );
    }
}
