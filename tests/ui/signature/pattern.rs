#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn add((a, b): (i64, i64), _: u8) -> i64 {
    a + b
}

fn main() {
    let _ = add.enqueue((1, 2), 3);
}
