//! What is seen to before a job with rules is started: that its time is not over, that it has its first
//! argument, and that its start is counted where starts are limited.
//!
//! kill -9 in any of it: the job is this worker's and not started, and runs again as any other that was
//! held. A start that was counted for nothing costs a place in its window, never one too many.

use std::time::Duration;

use tracing::debug;

use super::crew::Crew;
use super::executor::released;
use super::held::Taken;
use crate::error::Result;
use crate::job::{AttemptOutcome, ErrorReport, Input, JobId, JobRecord, State};
use crate::lifecycle::{Advice, Failure, Outcome, in_words};
use crate::storage::{ClaimedJob, Start, Verb};

/// How long to wait before another try to reach a storage that is away, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What becomes of a job instead of its start.
type NotReady = Box<Outcome>;

impl Crew {
    /// Makes a job ready to be started, or says what becomes of it instead.
    pub(super) async fn make_ready(&self, taken: &mut Taken) -> Result<(), NotReady> {
        self.check_expiry(&taken.job).await?;
        let Some(rules) = taken.job.rules.as_deref() else {
            return Ok(());
        };
        if let Some(input) = rules.input.clone() {
            let parent = self.look_up(input.parent).await?;
            taken.job.args = filled_in(&taken.job.args, &input, parent)?;
        }
        if rules_limit_starts(&taken.job) {
            self.count_start(taken).await?;
        }
        Ok(())
    }

    /// By the storage's clock, and the id's, which is the storage's too.
    async fn check_expiry(&self, job: &ClaimedJob) -> Result<(), NotReady> {
        let Some(time) = job.rules.as_ref().and_then(|rules| rules.expires_in) else {
            return Ok(());
        };
        let age = self.storage.now() - job.id.created_at();
        if job.attempt > 0 || job.lost > 0 || age.to_std().is_ok_and(|age| age < time) {
            return Ok(());
        }
        // At its first run nothing can have become of it before.
        if job.run > 0 && self.expires_no_more(job.id).await? {
            return Ok(());
        }
        let reason = format!("was not started within {}", in_words(time));
        Err(Outcome::Expired { reason }.into())
    }

    /// Whether a job was started before, whatever became of that, or was final and has been requeued. A claim does
    /// not tell: a snooze uses no attempt, and whoever is requeued has used none.
    async fn expires_no_more(&self, id: JobId) -> Result<bool, NotReady> {
        let job = self.look_up(id).await?;
        if job.is_some_and(|job| job.started_at.is_some()) {
            return Ok(true);
        }
        let mut patience = Patience::new();
        let events = loop {
            let answer = self.storage.inspect().events(id).await;
            if let Some(events) = patience.or_wait(self, answer).await? {
                break events;
            }
        };
        let requeue = Verb::Requeue.as_str();
        Ok(events.iter().any(|event| event.verb == requeue))
    }

    async fn look_up(&self, id: JobId) -> Result<Option<JobRecord>, NotReady> {
        let mut patience = Patience::new();
        loop {
            let answer = self.storage.inspect().job(id).await;
            if let Some(job) = patience.or_wait(self, answer).await? {
                return Ok(job);
            }
        }
    }

    async fn count_start(&self, taken: &Taken) -> Result<(), NotReady> {
        let start = Start {
            worker: self.id,
            claim: taken.claim,
            job: taken.job.id,
            run: taken.job.run,
        };
        let mut patience = Patience::new();
        loop {
            let answer = self.storage.start(&start).await;
            match patience.or_wait(self, answer).await? {
                Some(true) => return Ok(()),
                // What is sent now is refused too; it only ends the claim.
                Some(false) => return Err(released("it is no longer this worker's").into()),
                None => {}
            }
        }
    }
}

/// Waits for a storage that is away, as long as its worker may start anything.
struct Patience {
    pause: Duration,
}

impl Patience {
    fn new() -> Self {
        Self { pause: FIRST_PAUSE }
    }

    /// The answer; or, after a pause, nothing: ask again.
    async fn or_wait<T>(&mut self, crew: &Crew, answer: Result<T>) -> Result<Option<T>, NotReady> {
        let error = match answer {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        debug!(%error, "a job cannot be made ready yet");
        if !error.is_transient() {
            let why = format!("it could not be made ready: {error}");
            return Err(failed(why, Advice::Policy));
        }
        if crew.held.is_closed() {
            return Err(released("the storage was away").into());
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(None)
    }
}

fn rules_limit_starts(job: &ClaimedJob) -> bool {
    let limits = job.rules.as_ref().map_or(&[][..], |rules| &rules.limits);
    limits.iter().any(|limit| limit.rule.bound.is_rate())
}

/// The arguments with the parent's result as the first.
fn filled_in(args: &str, input: &Input, parent: Option<JobRecord>) -> Result<String, NotReady> {
    let Input { parent: id, field } = input;
    let missing = |why: String| {
        let why = format!("its argument `{field}` is the result of job {id}, and {why}");
        failed(why.clone(), Advice::GiveUp(why))
    };
    let Some(parent) = parent else {
        return Err(missing("there is no such job any more".into()));
    };
    let result = match (parent.state, parent.result, parent.reason) {
        (State::Succeeded, Some(result), _) => result,
        (State::Succeeded, None, Some(note)) => {
            return Err(missing(format!("that has none: {note}")));
        }
        // What returns nothing returns `null`.
        (State::Succeeded, None, None) => "null".into(),
        (state, ..) => {
            return Err(missing(format!(
                "that is {state}: requeue this job when it has Succeeded"
            )));
        }
    };
    let name = serde_json::to_string(field).expect("text is always JSON");
    let others = args.trim_start().strip_prefix('{').unwrap_or("}");
    let separator = if others.trim_start().starts_with('}') {
        ""
    } else {
        ","
    };
    Ok(format!("{{{name}:{result}{separator}{others}"))
}

fn failed(why: String, advice: Advice) -> NotReady {
    Outcome::Failed(Failure {
        report: ErrorReport::new(why),
        how: match advice {
            Advice::GiveUp(_) => AttemptOutcome::Discarded,
            _ => AttemptOutcome::Failed,
        },
        advice,
    })
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::handler::JobEntry;
    use crate::job::{LimitRule, NewJob};
    use crate::storage::MemoryStorage;
    use crate::testing::{Fault, FaultyStorage, Method};
    use crate::worker::Worker;

    fn filled(
        args: &str,
        state: State,
        result: Option<&str>,
        reason: Option<&str>,
    ) -> Result<String, String> {
        let id = JobId::new();
        let mut parent = JobRecord::new(id, "add", state);
        parent.result = result.map(str::to_owned);
        parent.reason = reason.map(str::to_owned);
        let input = Input {
            parent: id,
            field: "sum".into(),
        };
        filled_in(args, &input, Some(parent)).map_err(|outcome| match *outcome {
            Outcome::Failed(Failure {
                advice: Advice::GiveUp(why),
                ..
            }) => why,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_result_becomes_the_first_argument() {
        let filled = |args, result| filled(args, State::Succeeded, result, None).unwrap();
        assert_eq!(filled("{}", Some("0.10")), r#"{"sum":0.10}"#);
        assert_eq!(
            filled(r#"{"title":"x"}"#, Some("[1]")),
            r#"{"sum":[1],"title":"x"}"#
        );
        assert_eq!(filled("{}", None), r#"{"sum":null}"#);
    }

    #[test]
    fn a_result_that_is_not_there_is_told() {
        for (state, reason, says) in [
            (
                State::Succeeded,
                Some("too large"),
                "that has none: too large",
            ),
            (State::Failed, Some("x"), "that is Failed: requeue this job"),
            (State::Enqueued, None, "that is Enqueued"),
        ] {
            let why = filled("{}", state, None, reason).unwrap_err();
            assert!(
                why.contains(says) && why.contains("its argument `sum`"),
                "{why}"
            );
        }
    }

    static ENTRY: JobEntry = JobEntry {
        kind: "ready",
        ..JobEntry::TEST
    };

    async fn run_limited(faulty: &FaultyStorage) -> JobRecord {
        let client = Client::new(faulty.clone());
        let mut job = NewJob::new(JobId::new(), ENTRY.kind, "{}");
        let limit = LimitRule::sliding("ready", 10, Duration::from_secs(60));
        job.rules.get_or_insert_default().limits.push(limit.into());
        let worker = Worker::builder(client.storage().clone()).jobs(vec![&ENTRY]);
        let worker = worker.start().await.unwrap();
        let id = client.storage().insert(&[job]).await.unwrap()[0].id;
        let record = client.handle::<()>(id).wait().await.unwrap();
        worker.stop().await;
        record
    }

    #[tokio::test]
    async fn a_start_that_is_limited_is_counted_first() {
        let faulty = FaultyStorage::new(MemoryStorage::new());
        assert_eq!(run_limited(&faulty).await.state, State::Succeeded);
        assert_eq!(faulty.calls(Method::Start), 1);
    }

    #[tokio::test]
    async fn a_storage_that_is_away_is_waited_for_before_a_start() {
        let faulty = FaultyStorage::new(MemoryStorage::new());
        for fault in [Fault::Unreachable, Fault::AnswerLost, Fault::Unreachable] {
            faulty.fail(Method::Start, fault);
        }
        let record = run_limited(&faulty).await;
        assert_eq!((record.state, record.attempt), (State::Succeeded, 1));
        assert_eq!(faulty.calls(Method::Start), 4);
    }
}
