use jobs::prelude::*;

#[job]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {
    let parent = add.enqueue(1, 2);
    let _ = add.enqueue(1, 2).after(&parent);
    let _ = add.enqueue(1, 2).after_all([&7_u8]);
}
