#![allow(unused)]

use std::borrow::Cow;
use std::path::Path;

use jobs::prelude::*;

#[job]
async fn bytes(x: &[u8], y: &'static str, z: &mut i64) {}

#[job]
async fn inside(name: Option<&str>, text: Cow<'_, str>, path: &Path) {}

#[job]
async fn context(ctx: &JobContext, data: &Data<u8>) {}

fn main() {
    let _ = bytes.enqueue(b"x", "y", &mut 1);
}
