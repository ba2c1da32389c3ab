#![allow(unused)]

use jobs::prelude::*;

type Done = Result<i64, String>;

#[job]
async fn count() -> Done {
    Ok(1)
}

fn main() {}
