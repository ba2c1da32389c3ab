#![allow(unused)]

use jobs::prelude::*;

pub struct Connection;

#[job]
async fn load(id: i64, conn: Connection) {}

fn main() {
    let _ = load.enqueue(1, Connection);
}
