#![allow(unused)]

use jobs::prelude::*;

#[job("mail")]
async fn a_bare_string() {}

#[job(tags(vip), retry_if = "is_transient", queue = "mail")]
async fn no_strings() {}

#[job(cron = "0 3 * * *", unique_key = "user")]
async fn words_of_others(user: i64) {}

#[job(retries = 3)]
#[job(queue = "mail")]
async fn twice() {}

fn main() {}
