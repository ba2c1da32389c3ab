#![allow(unused)]

use jobs::prelude::*;

#[job(name = send, queue, retries = -1, timeout, tags = "a", description = 7, retry_if, crate = jobs)]
async fn one() {}

#[job(retries = 5 queue = "mail")]
async fn two() {}

#[job(retries = 99999999999, name("send"))]
async fn three() {}

fn main() {
    let _ = (one.enqueue(), two.enqueue(), three.enqueue());
}
