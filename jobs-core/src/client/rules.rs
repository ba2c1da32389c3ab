//! When and whether a job runs, as it is said when it is enqueued, and what the storage is told of it.

mod words;

use std::time::Duration;

use super::settings::Settings;
use crate::error::{Error, Result};
use crate::job::{
    BatchId, Due, Fields, Input, JobDefaults, KEY_LIMIT, LimitDefaults, LimitUse, OnConflict,
    Parent, ParentId, Rules, Unique, UniqueUntil,
};
use crate::lifecycle::in_words;

pub(super) use words::job_rules;

/// How many parents one job may have: they are stored with it.
const MOST_PARENTS: usize = 10_000;

/// How many limits one job may have: all of them must have room at the same moment.
const MOST_LIMITS: usize = 16;

/// What was said of when and whether a job runs.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) parents: Vec<Parent>,
    pub(super) batch: Option<BatchId>,
    pub(super) key: Option<Key>,
    pub(super) until: Option<UniqueUntil>,
    pub(super) on_conflict: Option<OnConflict>,
    pub(super) limits: Vec<LimitUse>,
    pub(super) expires_in: Option<Duration>,
}

/// Where a unique key comes from.
#[derive(Clone, Debug)]
pub(super) enum Key {
    Given(String),
    /// Made of these arguments; of all if none is named.
    Args(Vec<String>),
    /// Made for each job by itself.
    Each,
}

impl Settings {
    pub(super) fn after(&mut self, parent: Parent) {
        let known = self
            .asked
            .parents
            .iter()
            .find(|known| known.of == parent.of);
        match known.copied() {
            Some(known) if known == parent => {}
            Some(known) => self.refuse(Error::Invalid(format!(
                "a job cannot wait for {} on {} and on {} at once: name one condition",
                name(parent.of),
                known.on.as_str(),
                parent.on.as_str()
            ))),
            None if self.asked.parents.len() == MOST_PARENTS => self.refuse(Error::Invalid(format!(
                "a job cannot wait for more than {MOST_PARENTS} others: put them into a batch, and wait for that"
            ))),
            None => self.asked.parents.push(parent),
        }
    }

    pub(super) fn limit(&mut self, used: LimitUse) {
        let (name, limits) = (&used.rule.name, &self.asked.limits);
        if let Err(error) = used.check() {
            self.refuse(error);
        } else if let Some(prefix) = ["kind:", "rate:", "queue:"]
            .iter()
            .find(|prefix| name.starts_with(**prefix))
        {
            self.refuse(Error::Invalid(format!(
                "the limit `{name}` needs another name: `{prefix}` is for limits of kinds and queues"
            )));
        } else if limits.iter().any(|known| known.rule.name == *name) {
            self.refuse(Error::Invalid(format!("the limit `{name}` is named twice")));
        } else if limits.len() == MOST_LIMITS {
            self.refuse(Error::Invalid(format!(
                "a job may have {MOST_LIMITS} limits at most"
            )));
        } else {
            self.asked.limits.push(used);
        }
    }

    pub(super) fn unique(&mut self, key: Key) {
        if let Key::Given(key) = &key
            && let Err(error) = check_key(key)
        {
            self.refuse(error);
        }
        self.asked.key = Some(key);
    }

    pub(super) fn until(&mut self, until: UniqueUntil) {
        if until.time() == Some(Duration::ZERO) {
            self.refuse(Error::Invalid(
                "a unique key that is held for no time keeps no other job away".into(),
            ));
        }
        if let UniqueUntil::Period(time) = until
            && let Err(error) = Due::In(time).check()
        {
            self.refuse(error);
        }
        self.asked.until = Some(until);
    }
}

impl Asked {
    /// Adds what the kind declares; `None` for a job that asks for nothing, as most do.
    pub(super) fn complete(self, defaults: &JobDefaults, due: Due) -> Result<Option<Box<Plan>>> {
        let Self {
            parents,
            batch,
            key,
            until,
            on_conflict,
            limits,
            expires_in,
        } = self;
        let declared = defaults.unique.as_ref();
        let of_kind = || {
            declared.map(|unique| Key::Args(unique.args.iter().map(|&name| name.into()).collect()))
        };
        let key = key.or_else(of_kind);
        if key.is_none() && (until.is_some() || on_conflict.is_some()) {
            return Err(Error::Invalid(
                "there is no unique key to which `unique_until` or `on_conflict` could apply: say `.unique(key)` too".into(),
            ));
        }
        let unique = key.map(|key| PlannedUnique {
            key,
            until: until
                .or(declared.map(|unique| unique.until))
                .unwrap_or_default(),
            on_conflict: on_conflict
                .or(declared.map(|unique| unique.on_conflict))
                .unwrap_or_default(),
        });
        let itself =
            |parent: &Parent| batch.is_some_and(|batch| parent.of == ParentId::Batch(batch));
        if parents.iter().any(itself) {
            return Err(Error::Invalid(
                "a job that waits for a batch cannot be a member of it: it would wait for itself"
                    .into(),
            ));
        }
        let expires_in = expires_in.or(defaults.expires_in);
        check_expiry(expires_in, due)?;
        let plan = Plan {
            parents,
            batch,
            unique,
            limits,
            declared: defaults.limits,
            expires_in,
        };
        Ok((!plan.is_empty()).then(|| Box::new(plan)))
    }
}

/// Checked as far as it can be without the arguments.
#[derive(Clone)]
pub(super) struct Plan {
    parents: Vec<Parent>,
    batch: Option<BatchId>,
    unique: Option<PlannedUnique>,
    limits: Vec<LimitUse>,
    declared: &'static [LimitDefaults],
    expires_in: Option<Duration>,
}

#[derive(Clone)]
struct PlannedUnique {
    key: Key,
    until: UniqueUntil,
    on_conflict: OnConflict,
}

impl Plan {
    fn is_empty(&self) -> bool {
        let Self {
            parents,
            batch,
            unique,
            limits,
            declared,
            expires_in,
        } = self;
        parents.is_empty()
            && batch.is_none()
            && unique.is_none()
            && limits.is_empty()
            && declared.is_empty()
            && expires_in.is_none()
    }

    /// The rules of a job with these arguments. `own_key` is for a key that was made for each job by
    /// itself.
    pub(super) fn rules(&self, args: &str, own_key: Option<String>) -> Result<Rules> {
        let mut rules = Rules {
            parents: self.parents.clone(),
            batch: self.batch,
            limits: self.limits.clone(),
            expires_in: self.expires_in,
            ..Rules::default()
        };
        let by_args = matches!(&self.unique, Some(unique) if matches!(unique.key, Key::Args(_)));
        // Only those pay for it whose keys are made of arguments.
        let fields = (by_args || !self.declared.is_empty())
            .then(|| Fields::of(args))
            .transpose()?;
        if let Some(PlannedUnique {
            key,
            until,
            on_conflict,
        }) = &self.unique
        {
            let key = match (key, &fields) {
                (Key::Given(key), _) => key.clone(),
                (Key::Args(names), Some(fields)) => {
                    fields.unique_key(names.iter().map(String::as_str))?
                }
                _ => {
                    let key = own_key.unwrap_or_default();
                    check_key(&key)?;
                    key
                }
            };
            let (until, on_conflict) = (*until, *on_conflict);
            rules.unique = Some(Unique {
                key,
                until,
                on_conflict,
            });
        }
        let Some(fields) = fields else {
            return Ok(rules);
        };
        for declared in self.declared {
            if rules
                .limits
                .iter()
                .any(|given| given.rule.name == declared.rule.name)
            {
                continue;
            }
            let used = declared
                .rule
                .by(fields.fill(declared.key)?)
                .weight(fields.weight(declared.weight)?);
            used.check()?;
            rules.limits.push(used);
        }
        Ok(rules)
    }
}

/// The rules of a job whose first argument is another one's result.
pub(super) fn add_input(rules: &mut Rules, input: Input) {
    let parent = super::parents::of(ParentId::Job(input.parent), crate::job::Condition::Success);
    rules.parents.insert(0, parent);
    rules.input = Some(input);
}

fn check_key(key: &str) -> Result<()> {
    let why = match key.len() {
        0 => "is empty".into(),
        1..=KEY_LIMIT if key.contains('\0') => {
            "contains a NUL character, which databases do not store as text".into()
        }
        1..=KEY_LIMIT => return Ok(()),
        length => format!("is {length} bytes long: {KEY_LIMIT} at most; take a hash of it"),
    };
    Err(Error::Invalid(format!("the unique key {why}")))
}

fn check_expiry(expires_in: Option<Duration>, due: Due) -> Result<()> {
    expires_in.map_or(Ok(()), |time| Due::In(time).check())?;
    let why = match (expires_in, due) {
        (Some(Duration::ZERO), _) => "expires at once, so that it would never run".into(),
        (Some(time), Due::In(wait)) if time <= wait => format!(
            "expires {} after it is stored, and is due {} after: it would never run",
            in_words(time),
            in_words(wait)
        ),
        _ => return Ok(()),
    };
    Err(Error::Invalid(format!("a job that {why}")))
}

fn name(parent: ParentId) -> String {
    match parent {
        ParentId::Job(id) => format!("job {id}"),
        ParentId::Batch(id) => format!("batch {id}"),
    }
}
