#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn store<T: Send, const N: usize>(value: T) -> [u8; N] {
    drop(value);
    [0; N]
}

#[job]
async fn print<'a>(text: &'a str) {
    println!("{text}");
}

fn main() {
    let _ = store.enqueue(1);
    let _ = print.enqueue("a");
}
