#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn mail(id: i64, copies: u8) {}

fn main() {
    let _ = mail.enqueue("a", -1.5);
    let _ = mail.enqueue(1);
    let _ = mail.enqueue_many([1, 2]);
}
