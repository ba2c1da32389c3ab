#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn log(text: String, #[cfg(unix)] mode: u32) {}

fn main() {
    let _ = log.enqueue("a", 1);
}
