#![allow(unused)]

use jobs::prelude::*;

fn is_transient(error: &std::io::Error) -> bool {
    true
}

#[job(retry_if = is_transient)]
async fn one() {}

#[job(retry_if = |error| error.is_timeout())]
async fn two() {}

fn main() {}
