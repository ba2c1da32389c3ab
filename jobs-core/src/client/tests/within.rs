use async_trait::async_trait;

use super::{Note, note};
use crate::client::{
    Batch, BatchHandle, Client, Enqueue, EnqueueMany, Flow, FlowHandle, JobHandle,
};
use crate::error::{Error, Result};
use crate::job::{BatchId, Condition, NewJob, ParentId, Rules, WorkerId};
use crate::storage::probe::Probe;
use crate::storage::{Inserted, MemoryStorage, NewBatch, Settlement, Storage, Within};

/// A transaction for the memory storage: keeps what it is given until it is committed.
#[derive(Default)]
struct Transaction<'c> {
    jobs: Vec<NewJob>,
    batches: Vec<NewBatch>,
    _of: std::marker::PhantomData<&'c ()>,
}

#[async_trait]
impl Within<MemoryStorage> for Transaction<'_> {
    async fn insert(&mut self, _: &MemoryStorage, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        self.jobs.extend_from_slice(jobs);
        Ok(jobs.iter().map(|job| Inserted::new(job.id)).collect())
    }

    async fn create_batch(
        &mut self,
        storage: &MemoryStorage,
        batch: &NewBatch,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>> {
        self.batches.push(batch.clone());
        self.insert(storage, jobs).await
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

fn rules(job: &NewJob) -> &Rules {
    job.rules.as_deref().expect("it has rules")
}

#[tokio::test]
async fn batches_and_flows_come_with_the_callers_commit() {
    let client = Client::new(MemoryStorage::new());
    let mut transaction = Transaction::default();
    let batch = Batch::new()
        .name("b")
        .add(Enqueue::new(note(1)))
        .add_many(EnqueueMany::new((0..6_000).map(note)))
        .on_failure(Enqueue::new(note("help")))
        .on(&client)
        .within(&mut transaction)
        .await
        .unwrap();
    let flow = Flow::new()
        .node("a", Enqueue::new(note(1)))
        .node("b", Enqueue::new(note(2)))
        .edge_on(Condition::Any, "a", "b")
        .within(&mut transaction)
        .on(&client)
        .await
        .unwrap();
    assert!(matches!(batch.record().await, Err(Error::UnknownBatch(id)) if id == batch.id()));
    let Transaction { jobs, batches, .. } = &transaction;
    assert!(batches.iter().all(|batch| batch.sealed));
    assert_eq!(
        batches.iter().map(|batch| batch.id).collect::<Vec<_>>(),
        [batch.id(), flow.id()]
    );
    let members = |id: BatchId| jobs.iter().filter(move |job| rules(job).batch == Some(id));
    assert_eq!(members(batch.id()).count(), 6_001);
    let callback = jobs.iter().find(|job| rules(job).batch.is_none()).unwrap();
    let parent = rules(callback).parents[0];
    assert_eq!(
        (parent.of, parent.on),
        (ParentId::Batch(batch.id()), Condition::Failure)
    );
    let [a, b] = members(flow.id()).collect::<Vec<_>>()[..] else {
        panic!("two nodes")
    };
    let parent = rules(b).parents[0];
    assert_eq!(
        (parent.of, parent.on),
        (ParentId::Job(a.id), Condition::Any)
    );
    assert_eq!(
        (rules(a).node.as_deref(), rules(b).node.as_deref()),
        (Some("a"), Some("b"))
    );
}

#[tokio::test]
async fn what_is_too_much_for_a_transaction_is_refused() {
    let client = Client::new(MemoryStorage::new());
    let mut transaction = Transaction::default();
    let nested = Batch::new().add_batch(Batch::new());
    let many = Batch::new().add_many(EnqueueMany::new((0..100_001).map(note)));
    for (batch, says) in [
        (
            nested,
            "batches in it cannot be stored within a transaction",
        ),
        (many, "100001 jobs is too large for a transaction"),
    ] {
        let error = batch
            .on(&client)
            .within(&mut transaction)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{error}");
    }
    let open = Batch::new()
        .on(&client)
        .within(&mut transaction)
        .open()
        .await;
    assert!(open.unwrap_err().to_string().contains("bit by bit"));
    assert!(transaction.batches.is_empty() && transaction.jobs.is_empty());
}

#[test]
fn what_takes_its_time_may_move_between_threads() {
    fn send<T: Send>(_: T) {}
    let (batch, flow) = (
        BatchHandle::of(BatchId::new()),
        FlowHandle::of(BatchId::new()),
    );
    send((
        batch.wait(),
        batch.cancel().into_future(),
        batch.results::<Note>(),
    ));
    send((flow.wait(), flow.resume(), flow.result::<u8>("a")));
    send((
        Batch::new().into_future(),
        Batch::new().open(),
        Flow::new().into_future(),
    ));
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
