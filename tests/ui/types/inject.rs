#![allow(unused)]

use jobs::prelude::*;

pub struct Tenant;

#[job]
async fn bill(month: u8, #[inject] tenant: Tenant) {}

fn main() {
    let _ = bill.enqueue(1);
}
