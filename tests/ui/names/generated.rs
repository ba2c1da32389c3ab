#![allow(unused)]

use jobs::prelude::*;

/// What is generated uses such names itself.
#[job]
async fn __mail(number: i64) {}

fn main() {}
