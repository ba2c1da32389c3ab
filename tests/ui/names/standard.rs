#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn result() {}

#[job]
async fn str() {}

#[job]
async fn drop(text: String) {}

#[job]
async fn data(pool: Data<String>) {}

#[job]
async fn job_context(ctx: JobContext) {}

fn main() {
    let _: (Result<String, &str>, Option<()>) = (Ok(String::new()), None);
    let _ = (result.enqueue(), drop.enqueue("a"), data.enqueue());
}
