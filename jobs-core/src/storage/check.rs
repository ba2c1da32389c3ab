//! What can be wrong with the rules of jobs, as far as it shows without looking into a storage.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::job::{Bound, JobId, LimitRule, NewJob, ParentId, Rules};

/// The longest key of a unique job or a limit, in bytes.
const LONGEST_KEY: usize = 256;

/// Refuses jobs whose [rules](NewJob::rules) can never be kept, with [`Error::Invalid`]: a job that waits
/// for itself, or for the batch that it is a member of; jobs that wait for each other in a circle; the
/// same parent twice; an input from a job that is no parent; a key that is empty (of a unique job) or
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

/// Jobs of one request may wait for each other in any order, but not in a circle. (With jobs that are
/// stored already there can be none: they cannot wait for what was not there.)
fn check_circles(jobs: &[NewJob]) -> Result<()> {
    let at: HashMap<JobId, usize> = jobs
        .iter()
        .enumerate()
        .map(|(n, job)| (job.id, n))
        .collect();
    let mut children = vec![Vec::new(); jobs.len()];
    let mut waits = vec![0_usize; jobs.len()];
    for (child, job) in jobs.iter().enumerate() {
        for parent in job.rules.iter().flat_map(|rules| &rules.parents) {
            if let ParentId::Job(id) = parent.of
                && let Some(&parent) = at.get(&id)
            {
                children[parent].push(child);
                waits[child] += 1;
            }
        }
    }
    let mut free: Vec<_> = (0..jobs.len()).filter(|&n| waits[n] == 0).collect();
    let mut seen = 0;
    while let Some(next) = free.pop() {
        seen += 1;
        for &child in &children[next] {
            waits[child] -= 1;
            if waits[child] == 0 {
                free.push(child);
            }
        }
    }
    if seen == jobs.len() {
        return Ok(());
    }
    let stuck = (0..jobs.len()).filter(|&n| waits[n] > 0);
    let stuck: Vec<_> = stuck.take(5).map(|n| jobs[n].id.to_string()).collect();
    Err(Error::Invalid(format!(
        "these jobs wait for each other in a circle, or for such jobs: {}",
        stuck.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Condition, Parent};

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
