#![allow(unused)]

use jobs::prelude::*;

struct Mailer;

impl Mailer {
    #[job]
    async fn mail(&self, to: String) {
        println!("{to}");
    }
}

fn main() {}
