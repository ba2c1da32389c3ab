//! What operators tell all workers: to leave a queue or a kind alone, and in which order to serve queues.

use std::future::IntoFuture;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::info;

use super::operation::{Cause, cause};
use super::{BoxFuture, Client, Drain};
use crate::error::{Error, Result};
use crate::job::{Due, QueueOrder};
use crate::storage::{Control, ControlVerb, Scope};

impl Client {
    /// What can be done to a queue, or to all that a pattern (`mail.*`) matches, also those that come into
    /// being later.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use jobs_core::{client::Client, storage::MemoryStorage};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobs_core::Result<()> {
    /// # let client = Client::new(MemoryStorage::new());
    /// let mail = client.queue("mail.*");
    /// mail.pause().by("ada").because("the server is down").lasting(Duration::from_secs(3600)).await?;
    /// mail.drain().timeout(Duration::from_secs(30)).await?; // what runs has ended
    /// mail.resume().by("ada").await?;
    /// # Ok(()) }
    /// ```
    pub fn queue(&self, pattern: impl Into<String>) -> QueueHandle {
        QueueHandle {
            client: self.clone(),
            pattern: pattern.into(),
        }
    }

    /// What can be done to the jobs of a kind. Jobs that were stored under an older name of it (an alias)
    /// count under that name.
    pub fn kind(&self, kind: impl Into<String>) -> KindHandle {
        KindHandle {
            client: self.clone(),
            kind: kind.into(),
        }
    }

    /// Has all workers serve queues in this order, from now on and until
    /// [`reset_queue_order`](Self::reset_queue_order): each those of them that it serves, then its other
    /// ones ([`QueueOrder::led_by`]).
    ///
    /// ```
    /// # use jobs_core::{client::Client, job::QueueOrder, storage::MemoryStorage};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobs_core::Result<()> {
    /// # let client = Client::new(MemoryStorage::new());
    /// let order = QueueOrder::weighted([("mail", 3), ("reports", 1)])?;
    /// client.set_queue_order(order).by("ada").because("mail piles up").await?;
    /// client.reset_queue_order().by("ada").await?;
    /// # Ok(()) }
    /// ```
    pub fn set_queue_order(&self, order: QueueOrder) -> ControlOperation {
        ControlOperation::new(self, Ok(ControlVerb::Order(Some(order))))
    }

    /// Has every worker serve queues in its own order again.
    pub fn reset_queue_order(&self) -> ControlOperation {
        ControlOperation::new(self, Ok(ControlVerb::Order(None)))
    }
}

/// One queue, or all that a pattern matches: see [`Client::queue`].
#[derive(Clone, Debug)]
pub struct QueueHandle {
    client: Client,
    pattern: String,
}

impl QueueHandle {
    fn scope(&self) -> Result<Scope> {
        Scope::queues(&*self.pattern)
    }

    /// Stops workers from starting its jobs. What runs goes on; jobs can still be enqueued.
    pub fn pause(&self) -> PauseOperation {
        PauseOperation::new(&self.client, self.scope())
    }

    /// Lets workers start its jobs again. A pattern resumes all that it matches, however it was paused.
    pub fn resume(&self) -> ControlOperation {
        ControlOperation::new(&self.client, self.scope().map(ControlVerb::Resume))
    }

    /// Waits until none of its jobs runs, or may start now.
    pub fn drain(&self) -> Drain {
        Drain::new(&self.client, &self.pattern)
    }
}

/// The jobs of one kind: see [`Client::kind`].
#[derive(Clone, Debug)]
pub struct KindHandle {
    client: Client,
    kind: String,
}

impl KindHandle {
    fn scope(&self) -> Result<Scope> {
        Scope::kind(&*self.kind)
    }

    /// Stops workers from starting jobs of this kind. They stay where they are, others of their queues go
    /// on, what runs goes on too.
    pub fn pause(&self) -> PauseOperation {
        PauseOperation::new(&self.client, self.scope())
    }

    /// Lets workers start jobs of this kind again.
    pub fn resume(&self) -> ControlOperation {
        ControlOperation::new(&self.client, self.scope().map(ControlVerb::Resume))
    }
}

/// Pausing queues or a kind, carried out when this is awaited. Doing it again replaces who, why and until
/// when.
///
/// Workers notice at once, or, where wake-ups do not reach them, within a second.
#[derive(Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct PauseOperation {
    client: Client,
    scope: Result<Scope>,
    until: Option<Due>,
    cause: Cause,
}

cause!(PauseOperation);

impl PauseOperation {
    fn new(client: &Client, scope: Result<Scope>) -> Self {
        Self {
            client: client.clone(),
            scope,
            until: None,
            cause: Cause::default(),
        }
    }

    /// Ends the pause by itself at this time, by the storage's clock. Defaults to no end.
    pub fn until(mut self, end: DateTime<Utc>) -> Self {
        self.until = Some(Due::At(end));
        self
    }

    /// Ends the pause by itself after this long, by the storage's clock. Defaults to no end.
    pub fn lasting(mut self, time: Duration) -> Self {
        self.until = Some(Due::In(time));
        self
    }

    async fn carry_out(self) -> Result<()> {
        let Self {
            client,
            scope,
            until,
            cause,
        } = self;
        let scope = scope?;
        let now = client.storage().now();
        until.map_or(Ok(()), Due::check)?;
        if let Some(end) = until
            && end.at(now) <= now
        {
            return Err(Error::Invalid(format!(
                "a pause of {scope} that ends at once would pause nothing: give an end in the future"
            )));
        }
        let verb = ControlVerb::Pause(scope, until);
        carry_out(&client, verb, cause).await
    }
}

impl IntoFuture for PauseOperation {
    type Output = Result<()>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}

/// Resuming, or setting an order, carried out when this is awaited. Doing it twice is harmless.
///
/// Workers notice at once, or, where wake-ups do not reach them, within a second. Who did it and why is
/// kept ([`Inspect::control_events`](crate::storage::Inspect::control_events)).
#[derive(Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct ControlOperation {
    client: Client,
    verb: Result<ControlVerb>,
    cause: Cause,
}

cause!(ControlOperation);

impl ControlOperation {
    fn new(client: &Client, verb: Result<ControlVerb>) -> Self {
        Self {
            client: client.clone(),
            verb,
            cause: Cause::default(),
        }
    }

    async fn carry_out(self) -> Result<()> {
        let Self {
            client,
            verb,
            cause,
        } = self;
        let verb = verb?;
        if let ControlVerb::Resume(scope) = &verb {
            would_resume(&client, scope).await?;
        }
        carry_out(&client, verb, cause).await
    }
}

/// Fails if the scope would stay paused as a part of a wider one.
async fn would_resume(client: &Client, scope: &Scope) -> Result<()> {
    let pauses = client.storage().controls().await?.pauses;
    let wider = |paused: &Scope| paused.includes(scope) && !scope.includes(paused);
    let Some(paused) = pauses.iter().find(|paused| wider(&paused.scope)) else {
        return Ok(());
    };
    let (by, wider) = (&paused.pause.actor, &paused.scope);
    Err(Error::Invalid(format!(
        "{scope} cannot be resumed alone: {wider} was paused by {by}; resume that"
    )))
}

impl IntoFuture for ControlOperation {
    type Output = Result<()>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}

async fn carry_out(client: &Client, verb: ControlVerb, cause: Cause) -> Result<()> {
    let (actor, reason) = cause.complete(client)?;
    let control = Control {
        verb,
        actor,
        reason,
    };
    client.storage().control(&control).await?;
    let Control {
        verb,
        actor,
        reason,
    } = control;
    let reason = reason.as_deref();
    match verb {
        ControlVerb::Pause(scope, _) => info!(actor, reason, "{scope} paused"),
        ControlVerb::Resume(scope) => info!(actor, reason, "{scope} resumed"),
        ControlVerb::Order(Some(order)) => info!(actor, reason, "queues are served as: {order}"),
        ControlVerb::Order(None) => info!(actor, reason, "workers serve queues in their own order"),
    }
    Ok(())
}
