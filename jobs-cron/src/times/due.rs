//! Which occurrences are due, and which of them run.

use chrono::{DateTime, TimeDelta, Utc};

use super::schedule::Schedule;
use crate::misfire::{Misfire, MisfireRule};

/// What a scheduler has to do for one recurring job, and what to remember afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The occurrences that run, ascending.
    pub run: Vec<DateTime<Utc>>,
    /// The first occurrence that was missed and does not run, if any: from it on nothing runs up to the first of
    /// `run`, or up to `last` when that is empty.
    pub skipped_from: Option<DateTime<Utc>>,
    /// The latest occurrence that was looked at: the `last` of the next call. Unchanged when nothing was due.
    pub last: DateTime<Utc>,
    /// The first occurrence after now, if the schedule has one: when to look again.
    pub next: Option<DateTime<Utc>>,
}

impl Schedule {
    /// What is due now, if `last` was the last occurrence looked at (for a new or changed schedule: the moment it was
    /// made or changed, so that nothing runs for the past).
    ///
    /// It depends on its arguments alone, so any number of schedulers come to the same answer, and one that died after
    /// it inserted a part is repeated by another. An occurrence is missed when it is found later than `rule.grace`.
    /// - [`Misfire::RunOnce`]: everything runs while nothing was missed; else the latest occurrence alone.
    /// - [`Misfire::All`]: everything runs.
    /// - [`Misfire::Skip`]: what was not missed runs.
    ///
    /// Each of them runs at most `rule.cap` occurrences, the latest. The cost depends on how many run, not on how many
    /// were missed. When `now` is before `last` (a clock was set back), nothing is due until `last` has passed again.
    #[must_use]
    pub fn due(&self, last: DateTime<Utc>, now: DateTime<Utc>, rule: &MisfireRule) -> Due {
        let nothing = |next| Due {
            run: Vec::new(),
            skipped_from: None,
            last,
            next,
        };
        let Some(first) = self.next_after(last) else {
            return nothing(None);
        };
        if first > now {
            return nothing(Some(first));
        }
        let grace = TimeDelta::from_std(rule.grace).unwrap_or(TimeDelta::MAX);
        let on_time = |occurrence: &DateTime<Utc>| now - *occurrence <= grace;
        let mut late = self.latest_first(last, now);
        let cap = rule.cap.max(1);
        let mut run: Vec<_> = match rule.misfire {
            Misfire::All => late.take(cap).collect(),
            Misfire::Skip => late.take_while(on_time).take(cap).collect(),
            Misfire::RunOnce if on_time(&first) => late.take(cap).collect(),
            Misfire::RunOnce => late.next().into_iter().collect(),
        };
        run.reverse();
        let latest = run
            .last()
            .copied()
            .or_else(|| self.latest_first(last, now).next())
            .unwrap_or(first);
        Due {
            skipped_from: Some(first).filter(|first| run.first() != Some(first)),
            run,
            last: latest,
            next: self.next_after(latest),
        }
    }

    /// The occurrences after `last` and up to `now`, from the latest back.
    fn latest_first(
        &self,
        last: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = DateTime<Utc>> {
        // Up to now, including it.
        let latest = now
            .checked_add_signed(TimeDelta::nanoseconds(1))
            .and_then(|end| self.previous_before(end));
        std::iter::successors(latest, |occurrence| self.previous_before(*occurrence))
            .take_while(move |occurrence| *occurrence > last)
    }
}
