//! What operators do to limits.

use std::future::IntoFuture;

use tracing::info;

use super::operation::{Cause, cause};
use super::{BoxFuture, Client};
use crate::error::Result;
use crate::job::{Bound, Excess, LimitRule, check_limit};
use crate::storage::LimitRecord;

impl Client {
    /// A limit, by its name. That of a kind is called `kind:NAME` (how many at once) or `rate:NAME` (how many
    /// in which time), that of a queue `queue:NAME`.
    ///
    /// ```
    /// # use jobs_core::{client::Client, job::Bound};
    /// # async fn example(client: Client) -> jobs_core::Result<()> {
    /// client.limit("kind:resize").set(Bound::Concurrency { max: 8 }).because("the disk is new").await?;
    /// client.limit("queue:mail").set(Bound::Concurrency { max: 100 }).await?;
    /// client.limit("kind:resize").reset().await?;
    /// # Ok(()) }
    /// ```
    pub fn limit(&self, name: impl Into<String>) -> LimitHandle {
        LimitHandle {
            client: self.clone(),
            name: name.into(),
        }
    }
}

/// A limit, by its name. Whether there is such a limit is not asked.
#[derive(Clone, Debug)]
pub struct LimitHandle {
    client: Client,
    name: String,
}

impl LimitHandle {
    /// What is known of it; `None` if no job that was stored has used it, and nobody has set it.
    pub async fn get(&self) -> Result<Option<LimitRecord>> {
        let limits = self.client.inspect().limits().await?;
        Ok(limits
            .into_iter()
            .find(|limit| limit.rule.name == self.name))
    }

    /// Sets how much it allows, whatever programs declare, for jobs that are let in from now on. A queue that
    /// nobody has limited is limited by this. Refused if the bound allows nothing.
    pub fn set(&self, bound: Bound) -> LimitOperation {
        self.operation(Some((bound, Excess::Wait)))
    }

    /// Lets it be as programs declare it; a queue is limited no more.
    pub fn reset(&self) -> LimitOperation {
        self.operation(None)
    }

    fn operation(&self, set: Option<(Bound, Excess)>) -> LimitOperation {
        LimitOperation {
            limit: self.clone(),
            set,
            cause: Cause::default(),
        }
    }
}

/// The change of a limit, carried out when this is awaited. Doing it twice is harmless. Who did it and why is
/// kept ([`Inspect::control_events`](crate::storage::Inspect::control_events)), and told in the log (level info).
#[derive(Clone, Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct LimitOperation {
    limit: LimitHandle,
    set: Option<(Bound, Excess)>,
    cause: Cause,
}

cause!(LimitOperation);

impl LimitOperation {
    /// What becomes of jobs for which there is no room. Defaults to waiting in line. Nothing when the limit is
    /// reset.
    pub fn excess(mut self, excess: Excess) -> Self {
        if let Some((_, set)) = &mut self.set {
            *set = excess;
        }
        self
    }

    async fn carry_out(self) -> Result<()> {
        let Self {
            limit: LimitHandle { client, name },
            set,
            cause,
        } = self;
        check_limit(&name)?;
        let (actor, reason) = cause.complete(&client)?;
        let rule = set.map(|(bound, excess)| LimitRule {
            name: name.clone().into(),
            bound,
            excess,
        });
        rule.as_ref().map_or(Ok(()), LimitRule::check)?;
        let storage = client.storage();
        storage
            .set_limit(&name, rule.as_ref(), &actor, reason.as_deref())
            .await?;
        let what = if rule.is_some() { "set" } else { "reset" };
        info!(limit = name, ?rule, actor, reason, "limit {what}");
        Ok(())
    }
}

impl IntoFuture for LimitOperation {
    type Output = Result<()>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}
