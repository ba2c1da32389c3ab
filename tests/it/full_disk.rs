//! A PostgreSQL whose disk is full. (SQLite's is among the bad input.)
//!
//! The tables are on a small disk of their own, which the test fills; the server's journal is not: without room for
//! that a server stops, and then it is as in `outages`.

use std::fs;
use std::time::{Duration, Instant};

use jobs::prelude::*;
use jobs::{Error, State};

use crate::counters::assert_exact;
use crate::kinds::{named, note};
use crate::setup::{Effects, PATIENCE, Place, Server, run, until};

/// Answers something large that cannot be compressed, once the test opens the gate.
#[job(name = "e2e.large")]
async fn large(gate: String, effects: Data<Effects>, ctx: JobContext) -> String {
    effects.write("start", &ctx);
    effects.pass(&gate).await;
    effects.write("end", &ctx);
    (0..300_000).map(|_| fastrand::alphanumeric()).collect()
}

#[test]
fn a_full_disk_is_lived_through() {
    let server = Server::start();
    let Some(disk) = server.disk("48m") else {
        eprintln!("skipped: a test of a full disk must mount a small one, and this user may not");
        return;
    };
    let ballast = disk.join("ballast");
    run(Place::on_disk(&server.url, &disk), async |place: &Place| {
        fill_and_empty(place, &ballast).await;
    });
}

async fn fill_and_empty(place: &Place, ballast: &std::path::Path) {
    let client = &place.client;
    let worker = place.worker([named(&[]), jobs![large]].concat());
    let worker = worker.start().await.unwrap();
    // What others keep on this disk, and will take away again.
    fs::write(ballast, vec![1; 16 << 20]).unwrap();
    // Some run, and will end while there is no room to write that down.
    let running = large.enqueue_many(vec!["go".to_owned(); 8]).on(client);
    let running = running.await.unwrap();
    place.started(8).await;
    client.queue("later").pause().await.unwrap();
    let mut stored = Vec::new();
    let error = loop {
        let more = note.enqueue_many(0..500).queue("later").on(client).await;
        match more {
            Ok(more) => stored.extend_from_slice(more.ids()),
            Err(error) => break error,
        }
        assert!(stored.len() < 200_000, "the disk is not full");
    };
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let full = "the disk of the database is full, nothing was written";
    assert!(error.to_string().contains(full), "{error}");
    // To the last byte.
    let crumbs = ballast.with_file_name("crumbs");
    assert!(fs::write(&crumbs, vec![1; 64 << 20]).is_err());
    place.effects.open_gate("go");
    let ended = async || place.effects.of("end").len();
    until("they end", PATIENCE, ended, |n| *n == 8).await;
    // It goes on like this for a while. What needs no room works all the time.
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        for job in running.handles() {
            let record = job.record().await.unwrap();
            assert_eq!(record.state, State::Processing, "{record:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Room again: all goes on by itself, and what was acknowledged is there, and nothing else.
    fs::remove_file(&crumbs).unwrap();
    fs::remove_file(ballast).unwrap();
    for job in running.handles() {
        let ended = tokio::time::timeout(PATIENCE, job.wait()).await;
        let record = ended.expect("the worker goes on").unwrap();
        assert_eq!(
            (record.state, record.attempt, record.lost),
            (State::Succeeded, 1, 0)
        );
    }
    client.queue("later").resume().await.unwrap();
    place.drained(PATIENCE * 4).await;
    assert_eq!(place.effects.of("start").len(), 8, "each once");
    let mut noted: Vec<_> = place
        .effects
        .of("note")
        .into_iter()
        .map(|it| it.job)
        .collect();
    let mut stored: Vec<_> = stored.iter().map(ToString::to_string).collect();
    noted.sort_unstable();
    stored.sort_unstable();
    assert!(
        noted == stored,
        "{} ran, {} were stored",
        noted.len(),
        stored.len()
    );
    assert_exact(place).await;
    worker.stop().await;
}
