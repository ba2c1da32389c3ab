#![allow(unused)]

use jobs::prelude::*;

#[job(priority = "urgent")]
async fn one() {}

#[job(priority = 40000)]
async fn two() {}

#[job(priority = 1.5)]
async fn three() {}

fn main() {}
