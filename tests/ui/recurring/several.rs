#![allow(unused)]

use jobs::prelude::*;

#[job(name = "mail")]
#[recurring("@daily")]
#[recurring("@hourly")]
#[recurring("@weekly", id = "weekly")]
#[recurring("@monthly", id = "mail")]
async fn send_mail() {}

fn main() {}
