#![allow(unused)]

use jobs::prelude::*;

#[job]
struct Mail {
    to: String,
}

trait Send {
    #[job]
    fn mail();
}

fn main() {}
