//! One look at the lines before a limit: who is let in.
//!
//! Keys come in turn, one job each, going on behind the key that was served last. A job that another limit
//! does not let in waits in that line from then on; so it does if somebody is ahead of it there, whom it must
//! not pass.

use std::collections::{HashMap, VecDeque};

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use jobs_core::job::{Bound, Excess, LimitRule};
use jobs_core::lifecycle::in_words;

use super::limit::Line;
use super::room::Room;
use super::{Step, ids_of};
use crate::encode::{self, Hex};
use crate::fault;
use crate::queries::Queries;

/// How many waiters of a line are read at once.
const HANDFUL: i64 = 100;

/// How many decisions are written at once.
const MANY: usize = 2_000;

/// Who comes first: priority, due time, id.
type Place = (i64, i64, Uuid);

/// A job that waits in a line.
struct Waiter {
    place: Place,
    queue: String,
    kind: String,
    rules: Option<String>,
}

impl Waiter {
    fn read(row: &SqliteRow) -> fault::Result<Self> {
        Ok(Self {
            place: (row.try_get(1)?, row.try_get(2)?, row.try_get(0)?),
            queue: row.try_get(3)?,
            kind: row.try_get(4)?,
            rules: row.try_get(5)?,
        })
    }

    fn id(&self) -> Uuid {
        self.place.2
    }
}

/// The line of one key, as far as it has been read.
struct Queue {
    key: String,
    after: Place,
    read: VecDeque<Waiter>,
    /// There is nobody behind those that have been read.
    ends: bool,
}

impl Queue {
    fn new(key: String) -> Self {
        Self {
            key,
            after: (i64::MIN, i64::MIN, Uuid::nil()),
            read: VecDeque::new(),
            ends: false,
        }
    }
}

/// What becomes of a waiter.
enum Turn {
    In,
    Passed,
    /// Everybody behind it waits too.
    Stop,
}

/// The lines of one limit.
pub(super) struct Pass<'p, 't> {
    step: &'p mut Step<'t>,
    limit: String,
    rooms: &'p mut HashMap<Line, Room>,
    admitted: Vec<Uuid>,
    /// [limit, key, job, weight]
    permits: Vec<(String, String, Hex, u32)>,
    /// Those that wait for another limit.
    moved: Vec<(Line, Place)>,
    /// [job, due_at, reason]
    later: Vec<(Hex, i64, String)>,
    refused: Vec<(Uuid, String)>,
    /// When something may have changed by itself.
    looks: Vec<(Line, i64)>,
    /// The key of who was let in last.
    served: Option<String>,
}

impl<'p, 't> Pass<'p, 't> {
    pub(super) fn new(
        step: &'p mut Step<'t>,
        limit: String,
        rooms: &'p mut HashMap<Line, Room>,
    ) -> Self {
        Self {
            step,
            limit,
            rooms,
            admitted: Vec::new(),
            permits: Vec::new(),
            moved: Vec::new(),
            later: Vec::new(),
            refused: Vec::new(),
            looks: Vec::new(),
            served: None,
        }
    }

    /// Looks at the lines of these keys. Answers who is Deleted because a limit is reached, and why.
    pub(super) async fn run(mut self, keys: Vec<String>) -> fault::Result<Vec<(Uuid, String)>> {
        let mut turns = self.in_turn(keys).await?;
        while let Some(mut queue) = turns.pop_front() {
            let Some(waiter) = self.next(&mut queue).await? else {
                continue;
            };
            match self.turn(&waiter, &queue.key).await? {
                Turn::Stop => continue,
                Turn::In => self.served = Some(queue.key.clone()),
                Turn::Passed => {}
            }
            turns.push_back(queue);
            if self.admitted.len() + self.moved.len() + self.later.len() >= MANY {
                self.write().await?;
            }
        }
        self.write().await?;
        Ok(self.refused)
    }

    /// The lines in the order of their turns; they have been looked at then.
    async fn in_turn(&mut self, mut keys: Vec<String>) -> fault::Result<VecDeque<Queue>> {
        let rows = encode::rows(keys.iter().map(|key| (&self.limit, key)))?;
        let seen = self.step.queries.line_seen.query().bind(rows);
        seen.execute(&mut *self.step.tx).await?;
        if keys.len() > 1 {
            let served = self.step.queries.limit_served.query();
            let served = served.bind(self.limit.clone());
            let row = served.fetch_optional(&mut *self.step.tx).await?;
            let last: Option<String> = match row {
                Some(row) => row.try_get(0)?,
                None => None,
            };
            keys.sort();
            let next = keys.partition_point(|key| Some(key) <= last.as_ref());
            keys.rotate_left(next);
        }
        Ok(keys.into_iter().map(Queue::new).collect())
    }

    /// The next of a line whose queue and kind are not paused.
    async fn next(&mut self, queue: &mut Queue) -> fault::Result<Option<Waiter>> {
        loop {
            while let Some(waiter) = queue.read.pop_front() {
                if !self.step.is_paused(&waiter.queue, &waiter.kind) {
                    return Ok(Some(waiter));
                }
                // One without an end is ended by somebody, who looks at all lines then.
                let line = (self.limit.clone(), queue.key.clone());
                if let Some(end) = self.step.next_end()
                    && self.looks.last().is_none_or(|(last, _)| *last != line)
                {
                    self.looks.push((line, end));
                }
            }
            if queue.ends {
                return Ok(None);
            }
            let (priority, run_at, job) = queue.after;
            let line = self.step.queries.line.query();
            let line = line.bind(self.limit.clone()).bind(queue.key.clone());
            let line = line.bind(priority).bind(run_at).bind(job).bind(HANDFUL);
            for row in line.fetch_all(&mut *self.step.tx).await? {
                queue.read.push_back(Waiter::read(&row)?);
            }
            queue.ends = (queue.read.len() as i64) < HANDFUL;
            if let Some(last) = queue.read.back() {
                queue.after = last.place;
            }
        }
    }

    async fn turn(&mut self, waiter: &Waiter, key: &str) -> fault::Result<Turn> {
        let rules = waiter.rules.as_deref();
        let uses = self.step.uses(rules, &waiter.queue).await?;
        let mut taken: Vec<(Line, u32)> = Vec::with_capacity(uses.len());
        for one in uses {
            let line: Line = (one.rule.name.into_owned(), one.key);
            let Some(rule) = self.step.limit(&line.0).await? else {
                continue;
            };
            // One that is heavier than a limit that was lowered runs alone.
            let weight = one.weight.min(rule.bound.capacity());
            let own = line.0 == self.limit && line.1 == key;
            let room = self.room(&line, &rule.bound).await?;
            if !room.has(weight) {
                let back_at = room.back_at(weight);
                return Ok(self.refuse(waiter, line, own, &rule, back_at));
            }
            if !own && self.is_behind(waiter, &line).await? {
                self.go_to(waiter, line);
                return Ok(Turn::Passed);
            }
            taken.push((line, weight));
        }
        let id = Hex(waiter.id());
        for (line, weight) in taken {
            if let Some(room) = self.rooms.get_mut(&line) {
                room.take(weight);
            }
            self.permits.push((line.0, line.1, id, weight));
        }
        self.admitted.push(waiter.id());
        self.step.hints.jobs(&waiter.queue);
        Ok(Turn::In)
    }

    async fn room(&mut self, line: &Line, bound: &Bound) -> fault::Result<&Room> {
        if !self.rooms.contains_key(line) {
            let room = Room::measure(self.step, line, bound).await?;
            self.rooms.insert(line.clone(), room);
        }
        Ok(&self.rooms[line])
    }

    /// Whether somebody waits in another line who comes before this one.
    async fn is_behind(&mut self, waiter: &Waiter, line: &Line) -> fault::Result<bool> {
        let ahead = |(other, place): &(Line, Place)| other == line && *place < waiter.place;
        if self.moved.iter().any(ahead) {
            return Ok(true);
        }
        let (priority, run_at, job) = waiter.place;
        let ahead = self.step.queries.line_ahead.query();
        let ahead = ahead.bind(line.0.clone()).bind(line.1.clone());
        let ahead = ahead.bind(priority).bind(run_at).bind(job);
        for row in ahead.fetch_all(&mut *self.step.tx).await? {
            if !self.step.is_paused(row.try_get(0)?, row.try_get(1)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn go_to(&mut self, waiter: &Waiter, line: Line) {
        self.step.lines.insert(line.clone());
        self.moved.push((line, waiter.place));
    }

    fn refuse(
        &mut self,
        waiter: &Waiter,
        line: Line,
        own: bool,
        rule: &LimitRule,
        back_at: Option<i64>,
    ) -> Turn {
        let name = &rule.name;
        match rule.excess {
            Excess::Wait if own => {
                self.looks.extend(back_at.map(|at| (line, at)));
                return Turn::Stop;
            }
            Excess::Wait => self.go_to(waiter, line),
            Excess::Reschedule(delay) => {
                let due = self.step.now.saturating_add(encode::span(delay));
                let why = format!("Limit {name} is reached: again in {}", in_words(delay));
                self.later.push((Hex(waiter.id()), due, why));
                self.step.look_at(due);
            }
            Excess::Delete => {
                let why = format!("Limit {name} is reached");
                self.refused.push((waiter.id(), why));
            }
        }
        Turn::Passed
    }

    /// Writes the decisions down.
    async fn write(&mut self) -> fault::Result<()> {
        self.write_admitted().await?;
        let step = &mut *self.step;
        if !self.moved.is_empty() {
            let moved = self.moved.drain(..);
            let rows = moved.map(|((limit, key), place)| (Hex(place.2), limit, key));
            let moved = step.queries.block_move.query().bind(encode::rows(rows)?);
            moved.execute(&mut *step.tx).await?;
        }
        if !self.later.is_empty() {
            let rows = encode::rows(self.later.drain(..))?;
            for statement in [&step.queries.block_later, &step.queries.block_reason] {
                let query = statement.query().bind(rows.clone());
                query.execute(&mut *step.tx).await?;
            }
        }
        if !self.looks.is_empty() {
            let looks = self.looks.drain(..);
            let rows = looks.map(|((limit, key), at)| (limit, key, at));
            let look = step.queries.line_look.query().bind(encode::rows(rows)?);
            look.execute(&mut *step.tx).await?;
        }
        Ok(())
    }

    async fn write_admitted(&mut self) -> fault::Result<()> {
        if self.admitted.is_empty() {
            return Ok(());
        }
        let step = &mut *self.step;
        let ids = ids_of(self.admitted.drain(..))?;
        let permits = encode::rows(self.permits.drain(..))?;
        let Queries {
            unblock,
            admit,
            permit,
            ticket_now,
            limit_serve,
            ..
        } = step.queries;
        let unblock = unblock.query().bind(ids.clone());
        unblock.execute(&mut *step.tx).await?;
        let admit = admit.query().bind(ids.clone()).bind(step.now);
        admit.execute(&mut *step.tx).await?;
        let permit = permit.query().bind(permits);
        permit.execute(&mut *step.tx).await?;
        let ticket = ticket_now.query().bind(ids);
        ticket.execute(&mut *step.tx).await?;
        if let Some(key) = self.served.take() {
            let serve = limit_serve.query().bind(self.limit.clone()).bind(key);
            serve.execute(&mut *step.tx).await?;
        }
        Ok(())
    }
}
