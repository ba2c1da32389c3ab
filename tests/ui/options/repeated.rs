#![allow(unused)]

use jobs::prelude::*;

#[job(retries = 3, queue = "mail", retries = 4, tags("a", "b", "a"), aliases("mail", "old"))]
async fn mail(to: String) {}

fn main() {
    let _ = mail.enqueue("a");
}
