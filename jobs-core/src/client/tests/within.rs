use async_trait::async_trait;

use super::{Note, note};
use crate::client::{Client, EnqueueMany, JobHandle};
use crate::error::{Error, Result};
use crate::job::{NewJob, WorkerId};
use crate::storage::probe::Probe;
use crate::storage::{Inserted, MemoryStorage, Settlement, Storage, Within};

/// A transaction for the memory storage: keeps what it is given until it is committed.
#[derive(Default)]
struct Transaction<'c> {
    jobs: Vec<NewJob>,
    _of: std::marker::PhantomData<&'c ()>,
}

#[async_trait]
impl Within<MemoryStorage> for Transaction<'_> {
    async fn insert(&mut self, _: &MemoryStorage, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        self.jobs.extend_from_slice(jobs);
        Ok(jobs.iter().map(|job| Inserted::new(job.id)).collect())
    }

    async fn complete(&mut self, _: &MemoryStorage, _: WorkerId, _: &Settlement) -> Result<()> {
        Ok(())
    }
}

/// As users write it: options before and after, a reborrow, the parameter itself.
async fn enqueue(
    client: &Client,
    transaction: &mut Transaction<'_>,
) -> Result<Vec<JobHandle<String>>> {
    let one = client
        .enqueue(note(1))
        .queue("a")
        .within(transaction)
        .tag("b");
    let mut handles = vec![one.await?];
    handles.push(client.enqueue(note(2)).within(&mut *transaction).await?);
    let mut again = transaction;
    handles.push(client.enqueue(note(3)).within(&mut again).await?);
    let many = EnqueueMany::new((4..6).map(note)).within(again).on(client);
    handles.extend(many.await?);
    Ok(handles)
}

#[tokio::test]
async fn jobs_come_with_the_callers_commit() {
    let memory = MemoryStorage::new();
    let client = Client::new(memory.clone());
    let handles = tokio::spawn(async move {
        let mut transaction = Transaction::default();
        let handles = enqueue(&client, &mut transaction).await.unwrap();
        let error = handles[0].state().await.unwrap_err();
        assert!(matches!(error, Error::UnknownJob(_)));
        Storage::insert(&memory, &transaction.jobs).await.unwrap();
        handles
    })
    .await
    .unwrap();
    assert_eq!(handles.len(), 5);
    let record = handles[0].record().await.unwrap();
    assert_eq!(record.queue, "a");
    assert_eq!(record.options.tags, ["b"]);
    assert_eq!(handles[4].record().await.unwrap().args, r#"{"text":"5"}"#);
}

#[tokio::test]
async fn a_transaction_of_another_database_is_refused() {
    let client = Client::new(Probe::new());
    let mut transaction = Transaction::default();
    let error = client.enqueue(note(1)).within(&mut transaction).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("in the storage `probe`") && error.contains("Transaction"),
        "{error}"
    );
    assert!(transaction.jobs.is_empty());
}

#[test]
fn the_future_may_move_between_threads_whatever_the_output_is() {
    fn send<T: Send>(_: T) {}
    struct Local(#[allow(dead_code)] std::rc::Rc<()>);
    send(JobHandle::<Local>::of(crate::job::JobId::new()));
    let mut transaction = Transaction::default();
    let client = Client::new(MemoryStorage::new());
    send(
        client
            .enqueue::<Note>(note(1))
            .within(&mut transaction)
            .into_future(),
    );
}
