#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn mail(id: i64) {}

async fn enqueue(mut text: String) -> jobs::Result<()> {
    mail.enqueue(1).within(&mut text).await?;
    Ok(())
}

fn main() {}
