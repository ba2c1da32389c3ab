//! Cancelling a batch: it is marked first, and then its members are deleted, some at a time.
//!
//! Workers go on taking members meanwhile, from the front. So what they hold is deleted first, and looked for again now and
//! then, so that they are told of it soon; the rest is deleted from the back, where nobody is in the way.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jobs_core::job::{BatchId, JobId};
use jobs_core::storage::Wake;
use jobs_core::{Error, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::pool::Statement;
use crate::store::Store;

/// How many members one transaction deletes.
const CHUNK: i64 = 1_000;

/// How often what workers hold is looked for; and how long the upkeep goes on with cancelled batches before it looks at what
/// else there is to do.
const ROUND: Duration = Duration::from_millis(250);

/// How long the upkeep lets a batch be after it has been through all of it, and somebody had some of it locked.
const REST: Duration = Duration::from_secs(5);

/// How often what somebody has locked is tried again without waiting for him, with pauses that double.
const TRIES: u32 = 5;

/// The first of these pauses: about as long as it takes to settle some jobs.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// After the last member of any batch.
const END: (Uuid, Uuid) = (Uuid::max(), Uuid::max());

/// From the mark on nothing is added, and whoever is alive goes on with the members, should this process die.
pub(crate) async fn cancel(
    store: &Store,
    batch: BatchId,
    actor: &str,
    reason: Option<&str>,
) -> Result<u64> {
    let statement = store
        .statement(&store.sql.cancel_batch)
        .bind(batch.as_uuid())
        .bind(actor)
        .bind(reason);
    let row = store.row("cancel a batch", statement).await?;
    match row.get::<Option<bool>, _>(0) {
        None => return Err(Error::UnknownBatch(batch)),
        Some(false) => return Ok(0),
        Some(true) => {}
    }
    let mut members = Members::of(store, batch.as_uuid(), actor, reason).await?;
    let done = members.delete_all().await;
    store.kick();
    match done {
        // To begin anew would find it cancelled and count nothing: what is left is left to `go_on`.
        Err(error) if !error.is_conflict() => Err(error),
        _ => Ok(members.deleted),
    }
}

/// How far this process has come with batches whose cancellation somebody else has begun.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<HashMap<Uuid, At>>);

#[derive(Clone, Copy, Debug)]
enum At {
    /// Before this member of this batch.
    Before(Uuid, Uuid),
    /// Through, at that time: what is left was locked.
    Through(Instant),
}

impl Progress {
    /// Where to go on with each of these; nowhere for now with one that was just gone through. Forgets all others.
    fn of(&self, batches: &[Uuid]) -> Vec<Option<(Uuid, Uuid)>> {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.retain(|batch, _| batches.contains(batch));
        let at = |batch: &Uuid| match progress.get(batch) {
            None => Some(END),
            Some(At::Before(batch, member)) => Some((*batch, *member)),
            Some(At::Through(when)) => (when.elapsed() >= REST).then_some(END),
        };
        batches.iter().map(at).collect()
    }

    fn note(&self, batch: Uuid, left: Option<(Uuid, Uuid)>) {
        let at = match left {
            Some((batch, member)) => At::Before(batch, member),
            None => At::Through(Instant::now()),
        };
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.insert(batch, at);
    }
}

/// Goes on with batches whose cancellation somebody has begun who may have died, for a [`ROUND`]. Answers whether there is
/// more. Members that somebody has locked are left for a later time: there is other upkeep to do.
pub(crate) async fn go_on(store: &Store) -> Result<bool> {
    let statement = store.statement(&store.sql.cancelled_batches).bind(10_i32);
    let rows = store.rows("look for cancelled batches", statement).await?;
    let batches: Vec<Uuid> = rows.iter().map(|row| row.get("id")).collect();
    let starts = store.cancelling.of(&batches);
    let each = ROUND / starts.iter().flatten().count().max(1) as u32;
    let mut more = false;
    for ((row, batch), start) in rows.iter().zip(batches).zip(starts) {
        if let Some(start) = start {
            let actor: Option<String> = row.get("cancelled_by");
            let reason: Option<String> = row.get("cancelled_for");
            let actor = actor.unwrap_or_default();
            let mut members = Members::of(store, batch, &actor, reason.as_deref()).await?;
            let left = members.delete(start, Instant::now() + each).await?;
            store.cancelling.note(batch, left);
            more |= left.is_some();
        }
        let statement = store.statement(&store.sql.end_batch).bind(batch);
        store.rows("end a cancelled batch", statement).await?;
    }
    Ok(more)
}

/// The members of a cancelled batch and those in it, on their way to be deleted.
struct Members<'s> {
    store: &'s Store,
    batches: Vec<Uuid>,
    actor: &'s str,
    reason: Option<&'s str>,
    deleted: u64,
    /// Those that somebody had locked.
    busy: Vec<Uuid>,
}

impl<'s> Members<'s> {
    async fn of(
        store: &'s Store,
        batch: Uuid,
        actor: &'s str,
        reason: Option<&'s str>,
    ) -> Result<Self> {
        let statement = store.statement(&store.sql.batches_in).bind(batch);
        let rows = store.rows("list the batches in a batch", statement).await?;
        Ok(Self {
            store,
            batches: rows.iter().map(|row| row.get(0)).collect(),
            actor,
            reason,
            deleted: 0,
            busy: Vec::new(),
        })
    }

    async fn delete_all(&mut self) -> Result<()> {
        let mut start = Some(END);
        while let Some(before) = start {
            start = self.delete(before, Instant::now() + ROUND).await?;
        }
        self.delete_busy().await
    }

    /// Deletes those that workers hold, and then those before one, until the time is up: but for those that somebody has
    /// locked, and some at least. Answers where to go on then.
    async fn delete(
        &mut self,
        mut before: (Uuid, Uuid),
        end: Instant,
    ) -> Result<Option<(Uuid, Uuid)>> {
        self.delete_held().await?;
        loop {
            let Some(row) = self.send(|members| members.last(before)).await? else {
                return Ok(None);
            };
            before = (row.get("batch"), row.get("member"));
            let busy = self.note(&row);
            self.busy.extend(busy);
            if Instant::now() >= end {
                return Ok(Some(before));
            }
        }
    }

    /// Those that workers hold. Whom somebody has locked just then is met again from the back.
    async fn delete_held(&mut self) -> Result<()> {
        loop {
            let held = |members: &Self| {
                let statement = members.store.statement(&members.store.sql.delete_held);
                members.by(statement.bind(members.batches.clone()).bind(CHUNK))
            };
            let Some(row) = self.send(held).await? else {
                return Ok(());
            };
            self.note(&row);
            if row.get::<i64, _>("deleted") < CHUNK {
                return Ok(());
            }
        }
    }

    /// Those that somebody had locked: most have ended since. In the end they are waited for, one by one, until one is not to
    /// be had in time: what a transaction keeps locked is left to `go_on`.
    async fn delete_busy(&mut self) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..TRIES {
            if self.busy.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            let mut busy = std::mem::take(&mut self.busy);
            busy.sort_unstable();
            for jobs in busy.chunks(CHUNK as usize) {
                if let Some(row) = self.send(|members| members.named(jobs, false)).await? {
                    let busy = self.note(&row);
                    self.busy.extend(busy);
                }
            }
        }
        let busy = std::mem::take(&mut self.busy);
        for (at, job) in busy.iter().enumerate() {
            match self.send(|members| members.named(&[*job], true)).await {
                Ok(Some(row)) => drop(self.note(&row)),
                Ok(None) => {}
                Err(error) if error.is_conflict() => {
                    return self.delete_free(&busy[at + 1..]).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// After one that is not to be had nobody is waited for: the same transaction may have locked them all.
    async fn delete_free(&mut self, jobs: &[Uuid]) -> Result<()> {
        for jobs in jobs.chunks(CHUNK as usize) {
            if let Some(row) = self.send(|members| members.named(jobs, false)).await? {
                self.note(&row);
            }
        }
        Ok(())
    }

    fn last(&self, (batch, member): (Uuid, Uuid)) -> Statement {
        let statement = self.store.statement(&self.store.sql.delete_last);
        let statement = statement.bind(self.batches.clone()).bind(batch);
        self.by(statement.bind(member).bind(CHUNK))
    }

    fn named(&self, jobs: &[Uuid], wait: bool) -> Statement {
        let statement = self.store.statement(&self.store.sql.delete_members);
        self.by(statement.bind(jobs.to_vec()).bind(wait))
    }

    fn by(&self, statement: Statement) -> Statement {
        let reason = self.reason.map(str::to_owned);
        statement.bind(self.actor.to_owned()).bind(reason)
    }

    /// Whoever runs into a deadlock comes back.
    async fn send(&self, statement: impl Fn(&Self) -> Statement) -> Result<Option<PgRow>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let rows = self
                .store
                .rows("delete members of a batch", statement(self));
            match rows.await.map_err(Error::from) {
                Ok(rows) => return Ok(rows.into_iter().next()),
                Err(error) if error.is_conflict() && tries < TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes in what was done. Answers whom somebody had locked.
    fn note(&mut self, row: &PgRow) -> Vec<Uuid> {
        self.deleted += row.get::<i64, _>("deleted").max(0) as u64;
        let held: Option<Vec<Uuid>> = row.get("held");
        for job in held.unwrap_or_default() {
            let job = JobId::from(job);
            self.store.wakes.tell_here(Wake::Cancelled(job));
        }
        self.store.followed(row);
        let busy: Option<Vec<Uuid>> = row.get("busy");
        busy.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_batch_goes_on_where_it_was_left() {
        let progress = Progress::default();
        let [one, two, nested, member] = [(); 4].map(|()| Uuid::now_v7());
        assert_eq!(progress.of(&[one, two]), [Some(END); 2]);
        progress.note(one, Some((nested, member)));
        progress.note(two, None);
        assert_eq!(progress.of(&[one, two]), [Some((nested, member)), None]);
        // What has ended is forgotten.
        assert_eq!(progress.of(&[one]), [Some((nested, member))]);
        assert_eq!(
            progress.of(&[one, two]),
            [Some((nested, member)), Some(END)]
        );
    }
}
