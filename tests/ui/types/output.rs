#![allow(unused)]

use jobs::prelude::*;

pub struct Opaque;

#[job]
async fn plain() -> Opaque {
    Opaque
}

#[job]
async fn fallible() -> Result<Opaque, std::io::Error> {
    Ok(Opaque)
}

#[job]
fn blocking() -> Option<Opaque> {
    None
}

fn main() {
    let _ = (plain.enqueue(), fallible.enqueue(), blocking.enqueue());
}
