//! A job can still be called.

use jobs::prelude::*;

use super::stage;

#[job]
async fn add(a: i64, b: i64) -> i64 {
    tokio::task::yield_now().await;
    a + b
}

#[job]
async fn longest(first: &str, second: &str, greeting: Data<String>) -> String {
    tokio::task::yield_now().await;
    let found = if first.len() > second.len() {
        first
    } else {
        second
    };
    format!("{}, {found}", *greeting)
}

#[job]
fn plain(text: &str) -> usize {
    text.len()
}

/// It calls itself, which an `async fn` alone cannot, and enqueues itself.
#[job]
async fn countdown(from: u32, ctx: JobContext) -> Result<u32, jobs::Error> {
    if from == 0 {
        return Ok(0);
    }
    if from == 3 {
        countdown.enqueue(0).on(ctx.client()).await?;
    }
    Ok(1 + countdown(from - 1, ctx).await?)
}

#[tokio::test]
async fn by_a_call_expression() {
    assert_eq!(add(1, 2).await, 3);
    assert_eq!(plain("four"), 4);
    let (local, greeting) = (String::from("borrowed"), Data(String::from("Hello")));
    let future = longest(&local, "x", greeting);
    assert_eq!(future.await, "Hello, borrowed");
}

#[tokio::test]
async fn in_a_task_of_its_own_and_as_a_pointer() {
    assert_eq!(tokio::spawn(add(3, 4)).await.unwrap(), 7);
    let pointer = *add;
    assert_eq!(pointer(5, 6).await, 11);
    let lengths: fn(&str) -> usize = *plain;
    assert_eq!(["a", "bc"].map(lengths), [1, 2]);
}

#[tokio::test]
async fn a_builder_can_be_spawned_and_joined() {
    let (client, worker) = stage(jobs![add]).await;
    let spawned = tokio::spawn(add.enqueue(1, 2).on(&client).into_future());
    assert_eq!(spawned.await.unwrap().unwrap().result().await.unwrap(), 3);
    let (one, two) = tokio::join!(add.enqueue(1, 1).on(&client), add.enqueue(2, 2).on(&client));
    assert_eq!(
        one.unwrap().result().await.unwrap() + two.unwrap().result().await.unwrap(),
        6
    );
    worker.stop().await;
}

#[tokio::test]
async fn from_its_own_body() {
    let (client, worker) = stage(jobs![countdown]).await;
    let handle = countdown.enqueue(5).on(&client).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 5);
    worker.stop().await;
}
