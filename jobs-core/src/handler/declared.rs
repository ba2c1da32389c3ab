//! What code declares to recur, against what is stored.

use std::collections::{BTreeMap, HashSet};
use std::future::IntoFuture;

use tracing::{info, warn};

use super::{BoxFuture, JobEntry, RecurringEntry, Registry};
use crate::client::Client;
use crate::error::Result;
use crate::job::{Origin, RecurringRecord, RecurringSpec};
use crate::lifecycle::RecurringChange;
use crate::storage::Changed;

/// How many are declared in one step.
const BATCH: usize = 500;

/// How often what others changed meanwhile is looked at again. Each time somebody else has declared it.
const TRIES: usize = 10;

/// Stores what these jobs declare to recur, where that changes anything, and tells of what is declared no
/// more. Many may do it at once.
pub(crate) async fn declare(client: &Client, registry: &Registry) -> Result<()> {
    let mut left = Vec::new();
    for entry in registry.recurring() {
        left.push((entry, entry.spec(client)?));
    }
    let mut stored = stored(client).await?;
    for record in undeclared(stored.values(), registry.entries(), false) {
        warn!(
            recurring = record.id,
            kind = record.spec.kind,
            "no code declares it any more, and it goes on; `client.prune_recurring()` removes it"
        );
    }
    for _ in 0..TRIES {
        left = declare_once(client, left, &stored).await?;
        if left.is_empty() {
            return Ok(());
        }
        stored = self::stored(client).await?;
    }
    Ok(())
}

type Declaration = (&'static RecurringEntry, RecurringSpec);

/// Answers those that somebody else was changing.
async fn declare_once(
    client: &Client,
    declarations: Vec<Declaration>,
    stored: &BTreeMap<String, RecurringRecord>,
) -> Result<Vec<Declaration>> {
    let now = client.storage().now();
    let mut changes = Vec::new();
    for (entry, spec) in declarations {
        let before = stored.get(entry.id);
        if let Some(change) = RecurringChange::declare(before, entry.id, spec.clone(), now)? {
            changes.push((change, (entry, spec)));
        }
    }
    let mut stale = Vec::new();
    for part in changes.chunks(BATCH) {
        let part_changes = part.iter().map(|(change, _)| change.clone()).collect();
        let answers = client.storage().change_recurring(part_changes).await?;
        for ((change, declaration), answer) in part.iter().zip(answers) {
            match answer {
                Changed::Stale => stale.push(declaration.clone()),
                Changed::Done | Changed::Held => {
                    let words = change.to.as_ref().map(RecurringRecord::describe);
                    info!(recurring = change.id, schedule = words, "declared");
                }
            }
        }
    }
    Ok(stale)
}

async fn stored(client: &Client) -> Result<BTreeMap<String, RecurringRecord>> {
    let all = client.all_recurring().await?;
    Ok(all
        .into_iter()
        .map(|record| (record.id.clone(), record))
        .collect())
}

/// What was declared once and is not by these jobs: of their kinds, or of all.
fn undeclared<'r>(
    stored: impl Iterator<Item = &'r RecurringRecord>,
    entries: &[&'static JobEntry],
    all_kinds: bool,
) -> Vec<&'r RecurringRecord> {
    let entries = || entries.iter();
    let declared: HashSet<_> = entries()
        .flat_map(|entry| entry.recurring)
        .map(|recurring| recurring.id)
        .collect();
    let kinds: HashSet<_> = entries().flat_map(|entry| entry.names()).collect();
    stored
        .filter(|record| !matches!(record.origin, Origin::RunTime { .. }))
        .filter(|record| !declared.contains(&*record.id))
        .filter(|record| all_kinds || kinds.contains(&*record.spec.kind))
        .collect()
}

impl Client {
    /// Removes what was declared by code and is not declared any more by the jobs that are linked into
    /// this program; answers what it was. Of kinds that this program does not know nothing is removed: another
    /// program may declare it. Call it from a program that links all jobs, once a new version has replaced
    /// the old one everywhere.
    pub fn prune_recurring(&self) -> PruneRecurring {
        PruneRecurring {
            client: self.clone(),
            jobs: None,
            all_kinds: false,
        }
    }
}

/// Removes what code declares no more, when this is awaited; made by [`Client::prune_recurring`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct PruneRecurring {
    client: Client,
    jobs: Option<Vec<&'static JobEntry>>,
    all_kinds: bool,
}

impl PruneRecurring {
    /// Compares with what these jobs declare: `jobs![send_welcome]`. Defaults to every job that is linked
    /// into the program.
    pub fn jobs(mut self, jobs: Vec<&'static JobEntry>) -> Self {
        self.jobs = Some(jobs);
        self
    }

    /// Removes what is declared no more of all kinds, also of those that this program does not know.
    pub fn all_kinds(mut self) -> Self {
        self.all_kinds = true;
        self
    }

    async fn carry_out(self) -> Result<Vec<RecurringRecord>> {
        let entries = self.jobs.unwrap_or_else(Registry::linked);
        let all = self.client.all_recurring().await?;
        let mut removed = Vec::new();
        for record in undeclared(all.iter(), &entries, self.all_kinds) {
            let by = self.client.deed("no code declares it");
            let change = RecurringChange::remove(record, by);
            let answer = self.client.storage().change_recurring(vec![change]).await?;
            // What somebody is changing at this moment is somebody's; the next call looks again.
            if answer == [Changed::Done] {
                info!(recurring = record.id, "removed: no code declares it");
                removed.push(record.clone());
            }
        }
        Ok(removed)
    }
}

impl IntoFuture for PruneRecurring {
    type Output = Result<Vec<RecurringRecord>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}
