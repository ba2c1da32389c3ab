#![allow(unused)]

use jobs::prelude::*;

#[job(name = "send mail", queue = "Mail", tags("vip", "very important"), aliases(""))]
async fn mail(to: String) {}

fn main() {
    let _ = mail.enqueue("a");
}
