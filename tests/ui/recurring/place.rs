#![allow(unused)]

use jobs::prelude::*;
use jobs::recurring as cron;

#[recurring("@daily")]
struct NotAFunction;

struct Mailer;

impl Mailer {
    #[recurring("@daily")]
    async fn method(&self) {}
}

#[job]
#[cron("@daily")]
async fn other_name() {}

fn main() {}
