#![allow(unused)]

use jobs::prelude::*;

#[derive(Clone)]
pub struct Pool;

type Db = Data<Pool>;

#[job]
async fn load(id: i64, db: Db) {}

fn main() {}
