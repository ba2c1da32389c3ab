#![allow(unused)]

use jobs::prelude::*;

pub struct NoError;

#[job]
async fn one() -> Result<(), NoError> {
    Ok(())
}

#[job]
fn two() -> Result<u8, Box<dyn std::error::Error>> {
    Ok(1)
}

type Result<T, E = NoError> = std::result::Result<T, E>;

#[job]
async fn three() -> Result<u8> {
    Ok(1)
}

fn main() {
    let _ = (one.enqueue(), two.enqueue(), three.enqueue());
}
