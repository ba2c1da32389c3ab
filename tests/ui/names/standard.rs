#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn result() {}

#[job]
async fn str() {}

#[job]
async fn drop(text: String) {}

fn main() {
    let _: (Result<String, &str>, Option<()>) = (Ok(String::new()), None);
    let _ = (result.enqueue(), drop.enqueue("a"));
}
