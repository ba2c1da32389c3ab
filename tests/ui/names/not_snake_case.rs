#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn SendMail() {}

#[job]
async fn größe() {}

fn main() {
    let _ = SendMail.enqueue();
}
