#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn one(#[job(defualt)] a: u8, #[job(default = 7)] b: u8, #[job(alias)] c: u8) {}

#[job]
async fn two(#[job(default)] ctx: JobContext, #[inject(now)] client: Client) {}

#[job]
async fn three(#[serde(default)] a: u8) {}

fn main() {
    let _ = one.enqueue(1, 2, 3);
}
