//! What `#[job]` makes of functions.

use jobs::prelude::*;

/// Adds.
#[job]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[tokio::test]
async fn a_job_is_enqueued_run_and_called() {
    let client = Client::new(jobs::connect("memory:").await.unwrap());
    let handle = add.enqueue(1, 2).on(&client).await.unwrap();
    let worker = Worker::builder(client.storage().clone())
        .jobs(jobs![add])
        .start()
        .await
        .unwrap();
    assert_eq!(handle.result().await.unwrap(), 3);
    assert_eq!(add(1, 2).await, 3);
    worker.stop().await;
}
