#![allow(unused)]

use jobs::prelude::*;

#[job(timeout = "30 parsecs")]
async fn one() {}

#[job(timeout = "0s")]
async fn two() {}

#[job(timeout = 30)]
async fn three() {}

fn main() {
    let _ = (one.enqueue(), two.enqueue(), three.enqueue());
}
