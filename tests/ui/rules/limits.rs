#![allow(unused)]

use jobs::LimitRule;
use jobs::prelude::*;

const API: LimitRule = LimitRule::concurrency("api", 2);

#[job(concurrency(max = 2, key = "{tenat}"))]
async fn one(tenant: String) {}

#[job(concurrency(key = "{tenant"))]
async fn two(tenant: String) {}

#[job(concurrency(max = 0, key = "{tenant"), rate(max = 10))]
async fn three(tenant: String) {}

#[job(concurrency(max = 2, key = "{tenant"))]
async fn four(tenant: String) {}

#[job(rate(max = 10, per = "1s", burst = 20, excess = "drop"))]
async fn five(tenant: String) {}

#[job(rate(max = 10, per = "1s", burst = 20))]
async fn six(tenant: String) {}

#[job(rate(max = 10, per = "1 parsec", kind = "leaky"))]
async fn seven(tenant: String) {}

#[job(concurrency(max = 2, weight = 3))]
async fn eight(tenant: String) {}

#[job(concurrency(max = 2, weight = "{tenant}"))]
async fn nine(tenant: String) {}

#[job(concurrency(max = 2, maxx = 3))]
async fn ten(tenant: String) {}

#[job(limit(API, key = "{ctx}"), limit(API, weight = "pages"))]
async fn eleven(ctx: JobContext) {}

#[job(concurrency = 2)]
async fn twelve() {}

#[job(limit("api"), concurrency(max = 2, key = "{}"))]
async fn no_names(tenant: String) {}

fn main() {}
