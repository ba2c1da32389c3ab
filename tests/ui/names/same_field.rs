#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn duplicate(from: String, _from: String, #[job(alias = "from")] to: String) {}

fn main() {}
