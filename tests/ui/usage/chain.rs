use jobs::prelude::*;

#[job]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[job]
async fn show(text: String) {
    drop(text);
}

#[job]
async fn report(sum: i64, copies: u32) {
    let _ = (sum, copies);
}

#[job]
async fn lonely() {}

fn main() {
    let _ = add.enqueue(1, 2).then(&show);
    let _ = add.enqueue(1, 2).then(&report);
    let _ = add.enqueue(1, 2).then(report.with("seven"));
    let _ = add.enqueue(1, 2).then(&lonely);
}
