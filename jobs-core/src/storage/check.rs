//! What can be wrong with the rules of jobs, as far as it shows without looking into a storage.

use std::collections::HashSet;

use super::circle::{Waits, waits_in_a_circle};
use crate::error::{Error, Result};
use crate::job::{Bound, JobId, LimitRule, NewJob, ParentId, Rules};

/// The longest key of a unique job or a limit, in bytes.
const LONGEST_KEY: usize = 256;

/// Refuses jobs whose [rules](NewJob::rules) can never be kept, with [`Error::Invalid`]: a job that waits
/// for itself, or for the batch that it is a member of; jobs that wait for each other in a circle, also
/// through batches that they are in; the same parent twice; an input from a job that is no parent; a key that is empty (of a unique job) or
/// longer than 256 bytes; the same limit twice; a limit of nothing, or one that a job is too heavy for.
///
/// Storages call this before they store anything. Jobs without rules cost one look each.
pub fn check_rules(jobs: &[NewJob]) -> Result<()> {
    let mut waits = false;
    for job in jobs {
        let Some(rules) = job.rules.as_deref() else {
            continue;
        };
        check_one(job.id, rules).map_err(|why| Error::Invalid(format!("job {}: {why}", job.id)))?;
        waits |= !rules.parents.is_empty();
    }
    if waits { check_circles(jobs) } else { Ok(()) }
}

/// Refuses a limit that lets nothing through, with [`Error::Invalid`].
pub fn check_limit(rule: &LimitRule) -> Result<()> {
    bound(rule).map_err(Error::Invalid)
}

fn check_one(id: JobId, rules: &Rules) -> std::result::Result<(), String> {
    parents(id, rules)?;
    if let Some(unique) = &rules.unique {
        if unique.key.is_empty() {
            return Err("its unique key is empty".into());
        }
        key("unique key", &unique.key)?;
        if unique.until.time() == Some(std::time::Duration::ZERO) {
            return Err("its unique key is held for no time".into());
        }
    }
    let mut names = HashSet::new();
    for limit in &rules.limits {
        let name = &limit.rule.name;
        if !names.insert(name) {
            return Err(format!("limit {name} is given twice"));
        }
        bound(&limit.rule)?;
        key(&format!("key for limit {name}"), &limit.key)?;
        let (weight, most) = (limit.weight, limit.rule.bound.capacity());
        if weight == 0 {
            return Err(format!("its weight for limit {name} is 0; the least is 1"));
        }
        if weight > most {
            return Err(format!(
                "its weight for limit {name} is {weight}, but the limit allows {most} in all: it would never run"
            ));
        }
    }
    Ok(())
}

fn parents(id: JobId, rules: &Rules) -> std::result::Result<(), String> {
    let mut known = HashSet::new();
    for parent in &rules.parents {
        match parent.of {
            ParentId::Job(job) if job == id => return Err("it waits for itself".into()),
            ParentId::Batch(batch) if rules.batch == Some(batch) => {
                return Err(format!(
                    "it waits for batch {batch}, of which it is a member: it would wait for itself"
                ));
            }
            _ => {}
        }
        if !known.insert(parent.of) {
            return Err(format!("it waits for {} twice", parent.of));
        }
    }
    if let Some(input) = &rules.input
        && !known.contains(&ParentId::Job(input.parent))
    {
        return Err(format!(
            "its input is the result of job {}, which is not among its parents",
            input.parent
        ));
    }
    Ok(())
}

fn key(what: &str, key: &str) -> std::result::Result<(), String> {
    match key.len() {
        0..=LONGEST_KEY => Ok(()),
        n => Err(format!(
            "its {what} has {n} bytes; at most {LONGEST_KEY} are allowed"
        )),
    }
}

fn bound(rule: &LimitRule) -> std::result::Result<(), String> {
    let name = &rule.name;
    if name.is_empty() {
        return Err("a limit has no name".into());
    }
    let (max, burst, per) = match rule.bound {
        Bound::Concurrency { max } => (max, 1, None),
        Bound::FixedWindow { max, per } | Bound::SlidingWindow { max, per } => (max, 1, Some(per)),
        Bound::TokenBucket { max, per, burst } => (max, burst, Some(per)),
    };
    if max == 0 || burst == 0 {
        return Err(format!(
            "limit {name} is 0: nothing would ever run; the least is 1 (to stop jobs, pause their queue)"
        ));
    }
    if per.is_some_and(|per| per.as_millis() == 0) {
        return Err(format!(
            "the window of limit {name} is too short; the least is 1 ms"
        ));
    }
    Ok(())
}

/// Jobs of one request may wait for each other in any order, but not in a circle, nor through batches that
/// some of them are in. (Circles with what is stored are for the storage to find: [`CircleSearch`](super::CircleSearch).)
fn check_circles(jobs: &[NewJob]) -> Result<()> {
    match Waits::of(jobs).circle() {
        Some(circle) => Err(waits_in_a_circle(&circle)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{BatchId, Condition, Parent};

    fn after(parents: &[&NewJob]) -> NewJob {
        let mut job = NewJob::new(JobId::new(), "work", "{}");
        let parent = |of: &&NewJob| Parent {
            of: ParentId::Job(of.id),
            on: Condition::Success,
        };
        let rules = job.rules.get_or_insert_default();
        rules.parents = parents.iter().map(parent).collect();
        job
    }

    #[test]
    fn a_graph_without_circles_is_taken_in_any_order() {
        let a = after(&[]);
        let (b, c) = (after(&[&a]), after(&[&a]));
        let d = after(&[&b, &c]);
        assert!(check_rules(&[d.clone(), c, b, a]).is_ok());
        assert!(
            check_rules(&[d]).is_ok(),
            "its parents may be stored already"
        );
    }

    #[test]
    fn a_circle_through_a_batch_is_refused_and_named() {
        let batch = BatchId::new();
        let mut callback = after(&[]);
        callback.rules.get_or_insert_default().parents = vec![Parent {
            of: ParentId::Batch(batch),
            on: Condition::Any,
        }];
        let mut member = after(&[&callback]);
        member.rules.get_or_insert_default().batch = Some(batch);
        let mut other = after(&[]);
        other.rules.get_or_insert_default().batch = Some(batch);
        assert!(check_rules(&[callback.clone(), other.clone()]).is_ok());
        let error = check_rules(&[other, member.clone(), callback.clone()]);
        let text = error.unwrap_err().to_string();
        let (one, two) = (member.id, callback.id);
        let circle = format!("batch {batch} → job {one} → job {two}");
        let turned = |start: usize| {
            let all = [
                format!("batch {batch}"),
                format!("job {one}"),
                format!("job {two}"),
            ];
            [0, 1, 2, 3]
                .map(|n| all[(start + n) % 3].clone())
                .join(" → ")
        };
        assert!(
            (0..3).any(|n| text.contains(&turned(n))),
            "{text}, not {circle}"
        );
    }

    #[test]
    fn a_long_row_is_no_circle_and_a_long_circle_is_told_in_part() {
        let mut jobs = vec![after(&[])];
        for _ in 0..20_000 {
            let next = after(&[jobs.last().unwrap()]);
            jobs.push(next);
        }
        assert!(check_rules(&jobs).is_ok());
        jobs[0].rules = after(&[jobs.last().unwrap()]).rules;
        let text = check_rules(&jobs).unwrap_err().to_string();
        assert!(text.contains("19991 more") && text.len() < 1_000, "{text}");
    }

    #[test]
    fn a_circle_is_refused_and_named() {
        let mut a = after(&[]);
        let b = after(&[&a]);
        let c = after(&[&b]);
        a.rules = after(&[&c]).rules;
        let free = after(&[]);
        let error = check_rules(&[free.clone(), a.clone(), b, c]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("circle") && text.contains(&a.id.to_string()),
            "{text}"
        );
        assert!(!text.contains(&free.id.to_string()), "{text}");
    }
}
