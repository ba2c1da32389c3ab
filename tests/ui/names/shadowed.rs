#![allow(unused)]

use jobs::prelude::*;

#[job]
async fn report(year: i32) {}

async fn enqueue() -> jobs::Result<()> {
    let report = report.enqueue(2026).await?;
    Ok(())
}

fn main() {}
