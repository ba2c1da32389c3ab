//! What operators do.

use chrono::{DateTime, Utc};

use super::tables::Tables;
use crate::job::{EventRecord, JobId, State};
use crate::storage::{Answer, Command, Verb};

impl Command {
    /// Why a job is Deleted.
    fn deleted(&self) -> String {
        let actor = &self.actor;
        match &self.reason {
            Some(reason) => format!("Deleted by {actor}: {reason}"),
            None => format!("Deleted by {actor}"),
        }
    }
}

impl Tables {
    pub(super) fn command(&mut self, command: &Command, now: DateTime<Utc>) -> Vec<Answer> {
        let one = |&id| self.obey(command, id, now);
        command.jobs.iter().map(one).collect()
    }

    fn obey(&mut self, command: &Command, id: JobId, now: DateTime<Utc>) -> Answer {
        use State::{Awaiting, Deleted, Enqueued, Failed, Processing, Scheduled, Succeeded};
        let Some(job) = self.jobs.get(&id) else {
            return Answer::Unknown;
        };
        let from = job.state(now);
        match (command.verb, from) {
            (Verb::Delete, Succeeded | Deleted) => return Answer::WrongState(from),
            (Verb::Delete, _) => {
                if from == Failed {
                    // In its batch it counts as Deleted now, not as both.
                    self.member_runs_again(id, from);
                }
                self.delete(id, command.deleted(), now);
            }
            (Verb::Requeue, Succeeded | Failed | Deleted) => {
                if let Err(holder) = self.take_key_back(id, now) {
                    return Answer::KeyHeld(holder);
                }
                self.member_runs_again(id, from);
                self.requeue(id, now);
            }
            (Verb::RunNow, Enqueued) => {}
            (Verb::RunNow, Awaiting) if self.is_in_unsealed_batch(id) => {
                return Answer::WrongState(from);
            }
            (Verb::RunNow, Scheduled | Awaiting) => self.move_to(id, now),
            (Verb::Reschedule(due), Scheduled | Enqueued) => self.move_to(id, due.at(now)),
            (Verb::Requeue | Verb::RunNow | Verb::Reschedule(_), _) => {
                return Answer::WrongState(from);
            }
        }
        let to = self.jobs.get(&id).map_or(from, |job| job.state(now));
        if from == Processing {
            self.cancel(id);
        }
        self.write_event(id, command, (from, to), now);
        Answer::Done { from, to }
    }

    fn requeue(&mut self, id: JobId, now: DateTime<Utc>) {
        self.lift(id);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.attempt = 0;
            job.lost = 0;
            job.reason = None;
            job.result = None;
            job.started_at = None;
        }
        self.wait(id, now);
    }

    fn move_to(&mut self, id: JobId, run_at: DateTime<Utc>) {
        self.lift(id);
        self.wait(id, run_at);
    }

    fn write_event(
        &mut self,
        id: JobId,
        command: &Command,
        moved: (State, State),
        now: DateTime<Utc>,
    ) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let verb = command.verb.as_str();
        let mut event = EventRecord::new(id, now, verb, &command.actor, moved);
        event.reason.clone_from(&command.reason);
        job.history.get_or_insert_default().events.push(event);
    }
}
