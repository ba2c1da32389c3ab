#![allow(unused)]

use std::rc::Rc;

use jobs::prelude::*;

async fn wait() {}

#[job]
async fn count(upto: i64) -> i64 {
    let r = Rc::new(upto);
    wait().await;
    *r
}

fn main() {
    let _ = count.enqueue(1);
}
