//! Limits: how much may run at once, or start within a time.
//!
//! A job with limits stands in one line at a time, that of the first limit that refuses it, and gets its
//! ticket when all of them let it. Who is let in is decided at the end of each step that has changed
//! something about a line, in its transaction; and where only time changes something, when that time comes.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::Row;
use uuid::Uuid;

use jobs_core::job::{Bound, Excess, LimitRule, LimitUse, NewJob, Rules};
use jobs_core::storage::LimitRecord;

use super::pass::Pass;
use super::room::Room;
use super::{Step, ids_of, read_rules};
use crate::encode::{self, Hex};
use crate::fault;
use crate::queries::Queries;

/// The name of a limit, and what its jobs are counted by.
pub(super) type Line = (String, String);

/// A limit's name with the prefix of those that hold for queues.
const OF_QUEUE: &str = "queue:";

/// The limits as they hold, as far as they were asked for in this step.
#[derive(Default)]
pub(super) struct Limits(HashMap<String, Option<LimitRule>>);

/// Keeps what a program declares, for new jobs. The last declaration holds.
pub(super) async fn declare(step: &mut Step<'_>, jobs: &[NewJob]) -> fault::Result<()> {
    let uses = jobs.iter().filter_map(|job| job.rules.as_ref());
    let uses = uses.flat_map(|rules| &rules.limits);
    let wanted: HashMap<&str, &LimitRule> = uses
        .map(|one| (one.rule.name.as_ref(), &one.rule))
        .collect();
    for (name, rule) in wanted {
        let text = text(rule)?;
        let known = step.queries.limit_get.query().bind(name.to_owned());
        let known = known.fetch_optional(&mut *step.tx).await?;
        let declared: Option<String> = match &known {
            Some(row) => row.try_get(0)?,
            None => None,
        };
        if declared.as_deref() == Some(&text) {
            continue;
        }
        let was_for_queue = match known {
            Some(row) => row.try_get::<bool, _>(2)?,
            None => false,
        };
        let declare = step.queries.limit_declare.query().bind(name.to_owned());
        let declare = declare.bind(text).bind(name.starts_with(OF_QUEUE));
        declare.execute(&mut *step.tx).await?;
        changed(step, name, was_for_queue).await?;
    }
    Ok(())
}

/// Sets what holds whatever programs declare, or nothing.
pub(crate) async fn choose(
    step: &mut Step<'_>,
    name: &str,
    rule: Option<&LimitRule>,
) -> fault::Result<()> {
    let known = step.queries.limit_get.query().bind(name.to_owned());
    let known = known.fetch_optional(&mut *step.tx).await?;
    let was_for_queue = match known {
        Some(row) => row.try_get::<bool, _>(2)?,
        None => false,
    };
    let chosen = rule.map(text).transpose()?;
    let choose = step.queries.limit_choose.query().bind(name.to_owned());
    let choose = choose.bind(chosen).bind(name.starts_with(OF_QUEUE));
    choose.execute(&mut *step.tx).await?;
    let forget = step.queries.limit_forget.query().bind(name.to_owned());
    forget.execute(&mut *step.tx).await?;
    let buckets = step.queries.bucket_forget.query().bind(name.to_owned());
    buckets.execute(&mut *step.tx).await?;
    changed(step, name, was_for_queue).await
}

fn text(rule: &LimitRule) -> fault::Result<String> {
    serde_json::to_string(&(rule.bound, rule.excess))
        .map_err(|error| fault::Fault::Refused(error.to_string()))
}

fn parse(name: &str, text: Option<&str>) -> Option<LimitRule> {
    let (bound, excess): (Bound, Excess) = serde_json::from_str(text?).ok()?;
    Some(LimitRule {
        name: name.to_owned().into(),
        bound,
        excess,
    })
}

/// A limit is another than before: those who wait for it are looked at; and one that holds for a queue from
/// now on takes the tickets of all who wait there.
async fn changed(step: &mut Step<'_>, name: &str, was_for_queue: bool) -> fault::Result<()> {
    step.limits.0.remove(name);
    if let Some(queue) = name.strip_prefix(OF_QUEUE)
        && !was_for_queue
    {
        let Queries {
            limit_line_up,
            limit_untie,
            limit_take_back,
            ..
        } = step.queries;
        for statement in [limit_line_up, limit_untie] {
            let query = statement.query().bind(queue.to_owned()).bind(step.now);
            query.execute(&mut *step.tx).await?;
        }
        let back = limit_take_back.query().bind(name.to_owned());
        for row in back.fetch_all(&mut *step.tx).await? {
            step.lines.insert((row.try_get(0)?, row.try_get(1)?));
        }
    }
    let lines = step.queries.lines_of.query().bind(name.to_owned());
    for row in lines.fetch_all(&mut *step.tx).await? {
        step.lines.insert((name.to_owned(), row.try_get(0)?));
    }
    Ok(())
}

impl Step<'_> {
    /// The limit as it holds now; none if nobody has declared or set it (any more).
    pub(super) async fn limit(&mut self, name: &str) -> fault::Result<Option<LimitRule>> {
        if let Some(known) = self.limits.0.get(name) {
            return Ok(known.clone());
        }
        let limit = self.queries.limit_get.query().bind(name.to_owned());
        let row = limit.fetch_optional(&mut *self.tx).await?;
        let rule = match row {
            Some(row) => parse(name, row.try_get(1)?).or_else(|| parse(name, row.try_get(0).ok()?)),
            None => None,
        };
        self.limits.0.insert(name.to_owned(), rule.clone());
        Ok(rule)
    }

    /// What a job counts against: what its rules say, and the limit of its queue.
    pub(super) async fn uses(
        &mut self,
        rules: Option<&str>,
        queue: &str,
    ) -> fault::Result<Vec<LimitUse>> {
        let rules: Rules = read_rules(rules).unwrap_or_default();
        let mut uses = rules.limits;
        let name = format!("{OF_QUEUE}{queue}");
        if !uses.iter().any(|one| one.rule.name == name)
            && let Some(rule) = self.limit(&name).await?
        {
            uses.push(LimitUse {
                rule,
                key: String::new(),
                weight: 1,
            });
        }
        Ok(uses)
    }

    /// Jobs that wait for nothing but their time and their limits stand in line.
    pub(super) async fn line_up(&mut self, jobs: &str) -> fault::Result<()> {
        let pick = self.queries.limited.query().bind(jobs.to_owned());
        let (mut rows, mut free) = (Vec::new(), Vec::new());
        for row in pick.fetch_all(&mut *self.tx).await? {
            let queue: String = row.try_get(1)?;
            let uses = self.uses(row.try_get(5)?, &queue).await?;
            let Some(first) = uses.into_iter().next() else {
                // What does not parse was written by a later version: nobody can tell what it says.
                free.push(row.try_get::<Uuid, _>(0)?);
                continue;
            };
            let line: Line = (first.rule.name.into_owned(), first.key);
            let run_at: i64 = row.try_get(4)?;
            let ready = run_at <= self.now;
            if ready {
                self.lines.insert(line.clone());
            } else {
                self.look_at(run_at);
            }
            let id = Hex(row.try_get(0)?);
            let (kind, priority): (String, i64) = (row.try_get(2)?, row.try_get(3)?);
            rows.push((line.0, line.1, ready, priority, run_at, id, queue, kind));
        }
        if !free.is_empty() {
            let tickets = self.queries.ticket_now.query().bind(ids_of(free)?);
            tickets.execute(&mut *self.tx).await?;
        }
        if rows.is_empty() {
            return Ok(());
        }
        let block = self.queries.block.query().bind(encode::rows(rows)?);
        block.execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Runs of jobs have ended: what they held of limits is free; starts count on. `started`: when the run
    /// was started, if it was and that has not been said.
    pub(crate) async fn free(&mut self, runs: &[(Uuid, Option<i64>)]) -> fault::Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        let ids = ids_of(runs.iter().map(|(job, _)| *job))?;
        let held = self.queries.permits_of.query().bind(ids);
        let rows = held.fetch_all(&mut *self.tx).await?;
        let (mut over, mut started) = (Vec::new(), Vec::new());
        for row in &rows {
            let at = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
            let Some((job, start)) = runs.get(at) else {
                continue;
            };
            let line: Line = (row.try_get(1)?, row.try_get(2)?);
            let permit = (
                line.0.clone(),
                line.1.clone(),
                Hex(*job),
                row.try_get::<i64, _>(3)?,
            );
            let is_rate = self.limit(&line.0).await?;
            let is_rate = is_rate.is_some_and(|rule| rule.bound.is_rate());
            match start.filter(|_| is_rate) {
                Some(start) => started.push((permit, start, row.try_get::<u32, _>(4)?)),
                None => over.push(permit),
            }
            self.lines.insert(line);
        }
        for ((limit, key, job, run), start, weight) in started {
            self.note_start(&(limit, key), (job, run), start, weight)
                .await?;
        }
        if !over.is_empty() {
            let end = self.queries.permit_end.query().bind(encode::rows(over)?);
            end.execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    /// A run that holds a permit of a limit on starts was started then.
    async fn note_start(
        &mut self,
        line: &Line,
        (job, run): (Hex, i64),
        at: i64,
        weight: u32,
    ) -> fault::Result<()> {
        let start = self.queries.permit_start.query();
        let start = start.bind(line.0.clone()).bind(line.1.clone());
        let start = start.bind(job.0).bind(run).bind(at);
        let started = start.execute(&mut *self.tx).await?.rows_affected() > 0;
        if started && let Some(rule) = self.limit(&line.0).await? {
            Room::spend(self, line, &rule.bound, weight).await?;
            self.forget_starts(line, &rule.bound).await?;
        }
        self.lines.insert(line.clone());
        Ok(())
    }

    /// Starts whose window is over count no more.
    async fn forget_starts(&mut self, line: &Line, bound: &Bound) -> fault::Result<()> {
        let (Bound::FixedWindow { per, .. }
        | Bound::SlidingWindow { per, .. }
        | Bound::TokenBucket { per, .. }) = *bound
        else {
            return Ok(());
        };
        let prune = self.queries.permit_prune.query();
        let prune = prune.bind(line.0.clone()).bind(line.1.clone());
        let prune = prune.bind(self.now.saturating_sub(window(per)));
        prune.execute(&mut *self.tx).await?;
        Ok(())
    }

    /// The same for keys that are used no more, and full buckets: so many of a limit at most. Answers how many went of
    /// those of which there were most.
    pub(crate) async fn forget_old_starts(&mut self, limit: i64) -> fault::Result<u64> {
        let limits = self.queries.limits.query();
        let (mut longest, mut most) = (0, 0);
        for row in limits.fetch_all(&mut *self.tx).await? {
            let name: String = row.try_get(0)?;
            let rule = self.limit(&name).await?;
            let bound = rule.map(|rule| rule.bound);
            if let Some(
                Bound::FixedWindow { per, .. }
                | Bound::SlidingWindow { per, .. }
                | Bound::TokenBucket { per, .. },
            ) = bound
            {
                longest = longest.max(window(per));
            }
            most = most.max(self.forget_full(name, bound, limit).await?);
        }
        let old = self.queries.permit_old.query();
        let old = old.bind(self.now.saturating_sub(longest)).bind(limit);
        let old = old.execute(&mut *self.tx).await?;
        Ok(most.max(old.rows_affected()))
    }

    /// A bucket without a row is full. A limit that has become one of another kind has none; of one that a later
    /// version has written nothing is known.
    async fn forget_full(
        &mut self,
        name: String,
        bound: Option<Bound>,
        limit: i64,
    ) -> fault::Result<u64> {
        let (rate, burst) = match bound {
            Some(Bound::TokenBucket { max, per, burst }) => {
                (f64::from(max) / window(per) as f64, f64::from(burst))
            }
            Some(_) => (0.0, 0.0),
            None => return Ok(0),
        };
        let full = self.queries.bucket_full.query().bind(name).bind(self.now);
        let full = full.bind(rate).bind(burst).bind(limit);
        Ok(full.execute(&mut *self.tx).await?.rows_affected())
    }

    /// A run is started now; answers whether it is still the worker's.
    pub(crate) async fn start(&mut self, start: &jobs_core::storage::Start) -> fault::Result<bool> {
        let job = start.job.as_uuid();
        let holds = self.queries.holds.query().bind(job).bind(start.run);
        let holds = holds.bind(start.claim.as_uuid());
        let holds = holds.bind(start.worker.as_uuid());
        if holds.fetch_optional(&mut *self.tx).await?.is_none() {
            return Ok(false);
        }
        let held = self.queries.permits_of.query().bind(ids_of([job])?);
        for row in held.fetch_all(&mut *self.tx).await? {
            let line: Line = (row.try_get(1)?, row.try_get(2)?);
            let rule = self.limit(&line.0).await?;
            if rule.is_some_and(|rule| rule.bound.is_rate()) {
                let (run, weight) = (row.try_get(3)?, row.try_get(4)?);
                self.note_start(&line, (Hex(job), run), self.now, weight)
                    .await?;
            }
        }
        Ok(true)
    }

    /// Lets in what limits allow by now: lines whose time has come, and jobs that have fallen due, also those
    /// that had before the clock stepped back (`due`).
    pub(crate) async fn ripen(&mut self, due: i64) -> fault::Result<()> {
        self.ripened = true;
        let ripe = self.queries.ripe.query().bind(due);
        for row in ripe.fetch_all(&mut *self.tx).await? {
            self.lines.insert((row.try_get(0)?, row.try_get(1)?));
        }
        let ripen = self.queries.ripen.query().bind(due);
        ripen.execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Lets in what has become possible in this step; and what follows from that.
    pub(super) async fn admit(&mut self) -> fault::Result<()> {
        self.learn_pauses().await?;
        while !self.lines.is_empty() {
            let mut rooms = HashMap::new();
            let mut refused = Vec::new();
            while let Some((limit, _)) = self.lines.first() {
                let limit = limit.clone();
                let keys = self.lines.extract_if(.., |(name, _)| *name == limit);
                let keys: Vec<String> = keys.map(|(_, key)| key).collect();
                let pass = Pass::new(self, limit, &mut rooms);
                refused.extend(pass.run(keys).await?);
            }
            self.end(&refused).await?;
        }
        let next = self.queries.next_look.query();
        let row = next.fetch_one(&mut *self.tx).await?;
        if let Some(at) = row.try_get::<Option<i64>, _>(0)? {
            self.look_at(at);
        }
        Ok(())
    }
}

/// What is known of all limits.
pub(crate) async fn list(step: &mut Step<'_>) -> fault::Result<Vec<LimitRecord>> {
    let limits = step.queries.limits.query();
    let rows = limits.fetch_all(&mut *step.tx).await?;
    let mut records = Vec::with_capacity(rows.len());
    for row in &rows {
        let name: String = row.try_get(0)?;
        let declared = parse(&name, row.try_get(1)?);
        let chosen = parse(&name, row.try_get(2)?);
        let is_chosen = chosen.is_some();
        let Some(rule) = chosen.or_else(|| declared.clone()) else {
            continue;
        };
        let mut record = LimitRecord::new(rule);
        record.declared = declared
            .filter(|_| is_chosen)
            .map(|rule| (rule.bound, rule.excess));
        record.waiting = row.try_get(3)?;
        let keys = step.queries.permit_keys.query().bind(name.clone());
        for row in keys.fetch_all(&mut *step.tx).await? {
            let line = (name.clone(), row.try_get(0)?);
            let room = Room::measure(step, &line, &record.rule.bound).await?;
            record.used += room.used();
        }
        records.push(record);
    }
    Ok(records)
}

/// A window's length in microseconds; at least one.
pub(super) fn window(per: Duration) -> i64 {
    encode::span(per).max(1)
}
