#![allow(unused)]

use jobs::prelude::*;

#[recurring("@daily", crate = "nowhere")]
async fn unread() {}

fn main() {}
