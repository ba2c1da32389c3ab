//! What recurs: which job, when, and what is known of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs_cron::{Days, Misfire, MisfireRule, Schedule, jitter};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Due, JobId, NewJob, Priority, Rules, StoredOptions};
use crate::clock::later;
use crate::error::{Error, Result};

/// What happens when an occurrence comes while the run before it has not finished. A run has not
/// finished as long as its job is not final: it may be running, or wait for a retry, for other jobs or
/// for a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Overlap {
    /// It runs beside it.
    #[default]
    Allow,
    /// It does not run.
    Skip,
    /// It runs when that one has finished, in whatever way; several wait in their order.
    Queue,
}

impl Overlap {
    /// The word in attributes and in storage: `allow`, `skip` or `queue`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Skip => "skip",
            Self::Queue => "queue",
        }
    }
}

/// The occurrence of a recurring job that a job is a run of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Occurrence {
    /// The id of the recurring job.
    pub recurring: String,
    /// When it was to run by its schedule, however late it runs; the time of the trigger, if it was
    /// triggered.
    pub at: DateTime<Utc>,
    /// Whether somebody triggered it, beside its schedule.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub triggered: bool,
}

impl Occurrence {
    /// An occurrence of a schedule.
    pub fn new(recurring: impl Into<String>, at: DateTime<Utc>) -> Self {
        Self {
            recurring: recurring.into(),
            at,
            triggered: false,
        }
    }
}

/// When something recurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timing {
    /// The expression: `0 3 * * MON-FRI`, `@daily`, `@every 90s`.
    pub schedule: String,
    /// The time zone that it is read in, by its IANA name. Defaults to `UTC`.
    #[serde(default = "utc")]
    pub zone: String,
    /// What it means to restrict the day of the month and the weekday; schedules that do must say.
    #[serde(default, with = "days", skip_serializing_if = "Option::is_none")]
    pub days: Option<Days>,
    /// Nothing occurs before. Defaults to no start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<DateTime<Utc>>,
    /// Nothing occurs after. Defaults to no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<DateTime<Utc>>,
}

impl Timing {
    /// An expression in UTC, without start or end.
    pub fn new(schedule: impl Into<String>) -> Self {
        Self {
            schedule: schedule.into(),
            zone: utc(),
            days: None,
            starts: None,
            ends: None,
        }
    }

    /// The schedule itself.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], showing the place of the mistake.
    pub fn schedule(&self) -> Result<Schedule> {
        let mut builder = Schedule::builder(&self.schedule).zone(&self.zone);
        if let Some(days) = self.days {
            builder = builder.days(days);
        }
        if let Some(starts) = self.starts {
            builder = builder.starts(starts);
        }
        if let Some(ends) = self.ends {
            builder = builder.ends(ends);
        }
        builder
            .build()
            .map_err(|mistake| Error::Invalid(mistake.render()))
    }
}

fn utc() -> String {
    "UTC".into()
}

/// What recurs, and how: what code declares, or what was made at run time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecurringSpec {
    /// Which handler runs it.
    pub kind: String,
    /// The arguments of each run, as the text of a JSON object.
    pub args: String,
    /// Where each run waits.
    pub queue: String,
    /// Its order within the queue.
    #[serde(default)]
    pub priority: Priority,
    /// What each run is given beyond its kind's settings.
    #[serde(default, skip_serializing_if = "StoredOptions::is_default")]
    pub options: StoredOptions,
    /// What keeps a run from being stored or started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Box<Rules>>,
    /// When it runs.
    #[serde(flatten)]
    pub timing: Timing,
    /// What happens to occurrences that nobody was there to run.
    #[serde(default, with = "misfire")]
    pub misfire: MisfireRule,
    /// What happens when the run before has not finished.
    #[serde(default)]
    pub overlap: Overlap,
    /// Each run is due later than its occurrence by up to this much, a different time for each
    /// occurrence, the same whoever computes it. Defaults to none.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub jitter: Duration,
}

impl RecurringSpec {
    /// Runs of this job at these times. Of the job, its id and its due time are not used.
    pub fn new(job: NewJob, timing: Timing) -> Self {
        Self {
            kind: job.kind.into_owned(),
            args: job.args,
            queue: job.queue.into_owned(),
            priority: job.priority,
            options: job.options,
            rules: job.rules,
            timing,
            misfire: MisfireRule::default(),
            overlap: Overlap::default(),
            jitter: Duration::ZERO,
        }
    }

    /// Whether two say the same.
    pub fn same_as(&self, other: &Self) -> bool {
        let text = |spec: &Self| serde_json::to_string(spec).ok();
        text(self) == text(other)
    }
}

/// Who did something to a recurring job, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deed {
    /// Who.
    pub actor: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

impl Deed {
    /// What somebody does now.
    pub fn new(actor: impl Into<String>, reason: Option<String>, at: DateTime<Utc>) -> Self {
        Self {
            actor: actor.into(),
            reason,
            at,
        }
    }
}

/// Where the spec of a recurring job comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// Code declares it as it is.
    Code,
    /// Code declares it, and somebody has changed it at run time, which counts.
    Edited {
        /// What code declares.
        declared: Box<RecurringSpec>,
        /// Who changed it.
        by: Deed,
    },
    /// It was made at run time; no code declares it.
    RunTime {
        /// Who made it, or changed it last.
        by: Deed,
    },
}

/// Why a recurring job does not run by its schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecurringPause {
    /// Who paused it, when and why.
    #[serde(flatten)]
    pub by: Deed,
    /// When it goes on by itself; `None`: when it is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// An occurrence of a recurring job, and a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecurringRun {
    /// Which occurrence.
    pub at: DateTime<Utc>,
    /// The job that is its run, or kept it from having one.
    pub job: JobId,
}

/// Everything that is known of a recurring job. Storages keep it as it is, as JSON; only
/// [`lifecycle`](crate::lifecycle) changes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecurringRecord {
    /// Its name: `[A-Za-z0-9_.:-]{1,128}`.
    pub id: String,
    /// Another one after each change: whoever changes it says which version that was made from, and is
    /// refused if it has moved on.
    pub version: Uuid,
    /// What recurs, and how.
    pub spec: RecurringSpec,
    /// Where the spec comes from.
    pub origin: Origin,
    /// Why it stands still, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<RecurringPause>,
    /// All occurrences up to here have been seen to: they ran, or are not to run.
    pub seen: DateTime<Utc>,
    /// The first occurrence after that; `None` if there is none.
    pub next: Option<DateTime<Utc>>,
    /// Its last run, by its schedule or triggered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RecurringRun>,
    /// The last occurrence that was passed over: missed, or the run before had not finished, or another
    /// job held its unique key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<DateTime<Utc>>,
    /// The last occurrence for which no job was stored because another held its unique key, and that
    /// job. What it is by then depends on [`OnConflict`](super::OnConflict): it may have taken the
    /// arguments of the one that was not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_held: Option<RecurringRun>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl RecurringRecord {
    /// When a scheduler has to look at it next; `None`: never, until it is changed.
    pub fn look_at(&self) -> Option<DateTime<Utc>> {
        match &self.pause {
            Some(pause) => pause.until,
            None => self.next,
        }
    }

    /// The schedule itself.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it was written by a version that reads more than this one.
    pub fn schedule(&self) -> Result<Schedule> {
        self.spec.timing.schedule()
    }

    /// When it runs, in words: `at 03:00 on weekdays, Europe/Berlin`.
    pub fn describe(&self) -> String {
        let schedule = self.schedule();
        schedule.map_or_else(
            |_| self.spec.timing.schedule.clone(),
            |schedule| schedule.describe(),
        )
    }

    /// Its next `n` occurrences, whether or not it is paused. Jitter is not in them.
    pub fn upcoming(&self, n: usize) -> Vec<DateTime<Utc>> {
        let schedule = self.schedule();
        schedule.map_or_else(
            |_| Vec::new(),
            |schedule| schedule.upcoming(self.seen).take(n).collect(),
        )
    }

    /// The job that is its run for an occurrence.
    pub fn job(&self, id: JobId, occurrence: Occurrence) -> NewJob {
        let Self { spec, .. } = self;
        let due = match spec.jitter {
            Duration::ZERO => Due::Now,
            _ if occurrence.triggered => Due::Now,
            most => Due::At(later(occurrence.at, jitter(&self.id, occurrence.at, most))),
        };
        NewJob {
            queue: spec.queue.clone().into(),
            priority: spec.priority,
            due,
            options: StoredOptions {
                occurrence: Some(occurrence),
                ..spec.options.clone()
            },
            rules: spec.rules.clone(),
            ..NewJob::new(id, spec.kind.clone(), spec.args.clone())
        }
    }
}

/// `days` by its word.
mod days {
    use jobs_cron::Days;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(days: &Option<Days>, to: S) -> Result<S::Ok, S::Error> {
        days.map(Days::as_str).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Days>, D::Error> {
        let Some(word) = Option::<String>::deserialize(from)? else {
            return Ok(None);
        };
        let days = Days::from_name(&word);
        days.map(Some)
            .ok_or_else(|| D::Error::custom(format!("unknown `days`: {word:?}")))
    }
}

/// A misfire rule by its word and its numbers.
mod misfire {
    use std::time::Duration;

    use super::{Misfire, MisfireRule};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Stored {
        rule: String,
        grace: Duration,
        cap: usize,
    }

    pub(super) fn serialize<S: Serializer>(rule: &MisfireRule, to: S) -> Result<S::Ok, S::Error> {
        let stored = Stored {
            rule: rule.misfire.as_str().into(),
            grace: rule.grace,
            cap: rule.cap,
        };
        stored.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<MisfireRule, D::Error> {
        let Stored { rule, grace, cap } = Stored::deserialize(from)?;
        let misfire = Misfire::from_name(&rule);
        let misfire =
            misfire.ok_or_else(|| D::Error::custom(format!("unknown misfire rule {rule:?}")))?;
        Ok(MisfireRule {
            misfire,
            grace,
            cap,
        })
    }
}
