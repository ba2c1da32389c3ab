//! What is seen to although nobody asks for it.

mod janitors;
mod lost;
mod race;

use std::time::Duration;

use sqlx::Row;

use super::Home;
use crate::PgStorage;
use crate::care::{Pace, care};

/// As in earnest, but that every call is a pass and a round, in small pieces.
fn at_once() -> Pace {
    Pace {
        every: Duration::ZERO,
        claims_every: Duration::ZERO,
        round: Duration::ZERO,
        apart: Duration::ZERO,
        piece: 3,
        budget: Duration::from_secs(60),
        ..Pace::default()
    }
}

async fn pass(storage: &PgStorage) {
    care(&storage.store, &at_once()).await.unwrap();
}

async fn run(home: &Home, sql: &str) -> u64 {
    let mut connection = home.connection().await;
    let ran = sqlx::query(home.sql(sql)).execute(&mut connection).await;
    ran.unwrap_or_else(|error| panic!("{sql}: {error}"))
        .rows_affected()
}

async fn number(home: &Home, sql: &str) -> i64 {
    let mut connection = home.connection().await;
    let row = sqlx::query(home.sql(sql)).fetch_one(&mut connection).await;
    row.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0)
}

async fn noted(home: &Home) -> i64 {
    number(home, "select count(*) from jobs.missing").await
}
