#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn print(text: impl Into<String>) {
    println!("{}", text.into());
}

#[job]
async fn numbers() -> impl Iterator<Item = u8> {
    [1].into_iter()
}

#[job]
async fn forever() -> ! {
    std::process::exit(1)
}

#[job]
async fn first(text: &str) -> &str {
    &text[..1]
}

#[job]
fn later() -> impl Future<Output = u8> {
    async { 1 }
}

#[job]
async fn guessed(number: _) {}

fn main() {
    let _ = (print.enqueue("a"), numbers.enqueue(), forever.enqueue(), first.enqueue("a"));
}
