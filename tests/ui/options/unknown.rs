#![allow(unused)]

use jobs::prelude::*;

#[job(qeue = "mail", max_retries = 3, frobnicate, delay = "5s", retries = 5)]
async fn mail(to: String) {}

fn main() {
    let _ = mail.enqueue("a");
}
