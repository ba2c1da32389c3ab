//! Which client a call uses. In a process of its own: what is installed there is seen by all.

use jobs_core::Error;
use jobs_core::client::{Client, Enqueue, JobHandle};
use jobs_core::job::Job;
use jobs_core::storage::MemoryStorage;
use tokio::runtime::Handle;

#[derive(serde::Serialize)]
struct Ping {}

impl Job for Ping {
    const KIND: &'static str = "ping";
    type Output = ();
}

async fn has(client: &Client, job: &JobHandle<()>) -> bool {
    client.inspect().job(job.id()).await.unwrap().is_some()
}

#[tokio::test]
async fn the_scope_comes_before_the_installed_one() {
    let [installed, second, scoped, given] =
        std::array::from_fn(|_| Client::new(MemoryStorage::new()));
    assert!(matches!(Client::current(), Err(Error::NoClient)));
    assert!(matches!(Enqueue::new(Ping {}).await, Err(Error::NoClient)));

    installed.install();
    assert!(has(&installed, &Enqueue::new(Ping {}).await.unwrap()).await);

    // The client is looked up where the builder is awaited, not where it is made.
    let made_outside = Enqueue::new(Ping {});
    scoped
        .scope(async {
            let job = made_outside.await.unwrap();
            assert!(has(&scoped, &job).await && !has(&installed, &job).await);
            let job = Enqueue::new(Ping {}).on(&given).await.unwrap();
            assert!(has(&given, &job).await);
            // A task of its own is outside of the scope.
            let job = tokio::spawn(Enqueue::new(Ping {}).into_future())
                .await
                .unwrap()
                .unwrap();
            assert!(has(&installed, &job).await);
            // A plain `fn` job, on its thread for blocking work, is inside.
            let job = jobs_core::handler::blocking(|| {
                Handle::current().block_on(Enqueue::new(Ping {}).into_future())
            });
            assert!(has(&scoped, &job.await.unwrap()).await);
            let inner = second
                .scope(async { Enqueue::new(Ping {}).await.unwrap() })
                .await;
            assert!(has(&second, &inner).await);
        })
        .await;

    second.install();
    let job = Enqueue::new(Ping {}).await.unwrap();
    assert!(has(&second, &job).await);
    assert!(JobHandle::<()>::of(job.id()).state().await.is_ok());
}
