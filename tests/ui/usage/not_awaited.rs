#![deny(unused_must_use)]

use jobs::prelude::*;

#[job]
async fn mail(to: String) {}

fn main() {
    mail.enqueue("a");
    mail.enqueue_many(["a", "b"]);
    mail.call("a");
}
