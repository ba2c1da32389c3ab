#![allow(unused)]

use jobs::prelude::*;

#[recurring("0 25 * * *", tz = "Europe/Berlin")]
async fn no_such_hour() {}

#[recurring("0 0 31 2 *")]
async fn never() {}

#[recurring("0 0 13 * 5")]
async fn two_days() {}

#[recurring("*/90 * * * *")]
async fn too_far() {}

#[recurring("@dayly")]
async fn misspelt() {}

#[recurring("")]
async fn empty() {}

#[recurring]
async fn when() {}

#[recurring(tz = "UTC")]
async fn when_in_utc() {}

#[recurring(SCHEDULE)]
async fn not_written_here() {}

fn main() {
    let _ = no_such_hour.enqueue();
}
