//! A PostgreSQL server of a test's own, to be taken away and given back.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

/// A server of a test's own. Dropping it stops it and removes all that is in it.
pub(crate) struct Server {
    name: String,
    pub(crate) url: String,
}

impl Server {
    /// Makes a server and starts it.
    pub(crate) fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("it-{}-{count}", process::id());
        let owner = process::id().to_string();
        let url = script("start", &name, &["--owner", &owner]);
        Self { name, url }
    }

    /// Stops the server in an orderly way, breaking off what is under way, and starts it again.
    pub(crate) async fn restart(&self) {
        self.run("restart", &[]).await;
    }

    /// Stops the server as if it had been killed, and starts it again.
    pub(crate) async fn crash(&self) {
        self.run("restart", &["--crash"]).await;
    }

    /// Stops the server until [`go_on`](Self::go_on).
    pub(crate) async fn halt(&self) {
        self.run("halt", &[]).await;
    }

    /// Starts the server that was stopped.
    pub(crate) async fn go_on(&self) {
        self.run("start", &[]).await;
    }

    /// Gives the server a small disk, which goes with it, if this user may do that.
    pub(crate) fn disk(&self, size: &str) -> Option<PathBuf> {
        match ask("disk", &self.name, &["--size", size]) {
            Ok(path) => Some(path.into()),
            Err(why) => {
                eprintln!("no small disk: {why}");
                None
            }
        }
    }

    async fn run(&self, command: &'static str, more: &'static [&str]) {
        let name = self.name.clone();
        let run = tokio::task::spawn_blocking(move || script(command, &name, more));
        run.await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        script("stop", &self.name, &[]);
    }
}

fn script(command: &str, name: &str, more: &[&str]) -> String {
    let answer = ask(command, name, more);
    answer.unwrap_or_else(|errors| panic!("{command} {name}: {errors}"))
}

fn ask(command: &str, name: &str, more: &[&str]) -> Result<String, String> {
    let path = env::var_os("TEST_POSTGRES").expect(
        "TEST_POSTGRES is not set: run the tests with ./test, which says where to get a server from",
    );
    let output = Command::new(path)
        .args([command, "--name", name])
        .args(more)
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}
