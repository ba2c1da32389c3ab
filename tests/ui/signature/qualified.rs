#![allow(unused)]

use jobs::prelude::*;

#[job]
const fn one() {}

#[job]
unsafe fn two() {}

#[job]
extern "C" fn three() {}

fn main() {
    let _ = (one.enqueue(), two.enqueue(), three.enqueue());
}
