#![allow(unused)]

use jobs::prelude::*;

#[job(unique(args = ["user", "bady"], until = "finished", on_conflict = "skip"))]
async fn one(user_id: i64, body: String) {}

#[job(unique(args = ["user", "bady"]))]
async fn two(user_id: i64, body: String, ctx: JobContext) {}

#[job(unique(until = "done", for = "1 parsec"))]
async fn three(user_id: i64) {}

#[job(unique(until = "period", on_conflict = "replase"))]
async fn four(user_id: i64) {}

#[job(unique(until = "period"))]
async fn five(user_id: i64) {}

#[job(unique(until = "started", for = "0s"))]
async fn six(user_id: i64) {}

#[job(unique(arg = ["user_id"]), expires_in = "0s")]
async fn seven(user_id: i64) {}

#[job(unique(args = ["ctx"]))]
async fn eight(ctx: JobContext) {}

#[job(unique(args = []))]
async fn of_nothing(user_id: i64) {}

fn main() {}
