#![allow(unused)]

use jobs::prelude::*;

pub struct Pool;

#[job]
async fn load(id: i64, pool: Data<Pool>) {}

fn main() {
    let _ = load.enqueue(1);
}
