//! Used outside of a tokio runtime, where drivers and timers panic.

use std::sync::Arc;
use std::thread;

use chrono::Utc;
use jobs_core::job::{BatchId, ClaimId, JobId, LimitRule};
use jobs_core::storage::{
    Beat, Command, Control, ControlVerb, Flush, Inspect, JobFilter, NewBatch, RecurringRequest,
    RescueRequest, Retention, Scope, Start, Storage, StorageHandle, Verb, WorkerInfo,
};
use jobs_core::testing::assert_needs_runtime;

use super::{new_job, request, test, worker};
use crate::PgStorage;

macro_rules! all_told {
    ($storage:ident: $($verb:ident($($argument:expr),*))*) => {
        $(assert_needs_runtime(stringify!($verb), $storage.$verb($($argument),*));)*
    };
}

#[test]
fn every_verb_says_that_there_is_no_runtime() {
    test(|home| async move {
        let storage = home.storage().await;
        let me = worker(&storage).await;
        let builder = home.builder();
        let outside = thread::spawn(move || {
            assert_needs_runtime("connect", builder.connect());
            told(&storage, me);
            let storage = StorageHandle::new(storage);
            assert_needs_runtime("an insert through the handle", storage.insert(&[new_job()]));
            drop(storage);
        });
        tokio::task::spawn_blocking(|| outside.join().unwrap())
            .await
            .unwrap();
    });
}

fn told(storage: &PgStorage, me: jobs_core::job::WorkerId) {
    let (job, batch, now) = (JobId::new(), NewBatch::new(BatchId::new()), Utc::now());
    let command = Command {
        verb: Verb::Delete,
        jobs: vec![job],
        actor: "ada".into(),
        reason: None,
    };
    let control = Control {
        verb: ControlVerb::Resume(Scope::queues("mail").unwrap()),
        actor: "ada".into(),
        reason: None,
    };
    let flush = Flush {
        worker: me,
        settlements: Vec::new(),
        closed: vec![ClaimId::new()],
    };
    let start = Start {
        worker: me,
        claim: ClaimId::new(),
        job,
        run: 0,
    };
    let beat = Beat {
        worker: me,
        claims: Vec::new(),
        newest: None,
    };
    let rescue = RescueRequest {
        worker: me,
        beat: 0,
        lost_limit: 3,
        lost_reason: "",
        limit: 1,
    };
    let due = RecurringRequest {
        kinds: Arc::new(["add".into()]),
        after: None,
        limit: 1,
    };
    let rule = LimitRule::concurrency("queue:mail", 1);
    all_told! { storage:
        insert(&[new_job()])
        insert_taken(&[new_job()], me, ClaimId::new())
        claim(&request(me, "*", 1))
        next_due(&request(me, "*", 1))
        settle(&flush)
        create_batch(&batch, &[new_job()])
        seal_batch(batch.id)
        reopen_batch(batch.id)
        cancel_batch(batch.id, "ada", None)
        start(&start)
        set_limit("queue:mail", Some(&rule), "ada", None)
        register(&WorkerInfo::new(me))
        beat(&beat)
        suspect(me, None)
        retire(me)
        presences()
        rescue(&rescue)
        revoked(&[(job, 0)])
        command(&command)
        control(&control)
        due_recurring(&due)
        tick()
        retain(&Retention::default())
        migrate()
        check_schema()
        job(job)
        jobs(&JobFilter::default())
        attempts(job)
        events(job)
        counts()
        queues()
        controls()
        control_events(1)
        workers()
        batch(batch.id)
        limits()
        awaited(job)
        recurring("daily")
        recurring_page(None, 1)
        stats(now, now)
    }
}
