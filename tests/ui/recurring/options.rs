#![allow(unused)]

use jobs::prelude::*;

#[recurring("@daily", tz = "Europe/Berln")]
async fn zone() {}

#[recurring("@daily", tz = "PST", days = "any", misfire = "al", overlap = "never")]
async fn words() {}

#[recurring("@daily", jitter = "soon", grace = 5, cap = 0, starts = "2026-02-31", ends = "never")]
async fn values() {}

#[recurring("@daily", id = "no id", queue = "No Queue")]
async fn names() {}

#[recurring("@daily", timezone = "UTC", retries = 3, frobnicate, misfire = "all", misfire = "all")]
async fn unknown() {}

#[recurring("@daily", starts = "2027-01-02", ends = "2027-01-01")]
async fn backwards() {}

#[recurring("0 3 * * *", "0 15 * * *")]
async fn two_schedules() {}

fn main() {}
