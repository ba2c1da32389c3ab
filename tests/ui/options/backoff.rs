#![allow(unused)]

use jobs::prelude::*;

#[job(backoff = "quick")]
async fn one() {}

#[job(backoff = [])]
async fn two() {}

#[job(backoff = ["1s", "soon"])]
async fn three() {}

#[job(backoff = exponential(bas = "1s"))]
async fn four() {}

#[job(backoff = exponential(factor = 2))]
async fn five() {}

#[job(backoff = exponential(base = "1s", jitter = 2, max = 7))]
async fn six() {}

#[job(backoff = fibonacci(base = "1s"))]
async fn seven() {}

fn wait(retry: u64) -> u64 {
    retry
}

#[job(backoff = wait)]
async fn eight() {}

fn main() {}
