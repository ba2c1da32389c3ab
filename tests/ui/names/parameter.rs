#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn report(report: String) {}

#[job]
async fn context(number: i64, context: JobContext) {}

fn main() {}
