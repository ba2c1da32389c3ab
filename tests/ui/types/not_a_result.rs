#![allow(unused)]

use jobs::prelude::*;

#[derive(Clone, Debug)]
pub struct Result;

#[job]
async fn count() -> Result {
    Result
}

fn main() {}
