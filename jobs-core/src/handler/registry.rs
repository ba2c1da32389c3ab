//! All jobs that a worker can run, checked when it starts.

use std::collections::{BTreeMap, HashMap};

use super::{DataMap, EntryRef, JobEntry, RecurringEntry};
use crate::error::{Error, Result};
use crate::job::{check_kind, check_queue, check_tag};

/// All jobs that a worker can run. A worker builds its own; build one to check in a test what a worker
/// would say.
///
/// ```
/// # use jobs_core::handler::{DataMap, Registry};
/// let mistake = Registry::build(Registry::linked(), &DataMap::new()).unwrap_err();
/// assert!(mistake.to_string().contains("no jobs"));
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    entries: Vec<&'static JobEntry>,
    by_name: HashMap<&'static str, &'static JobEntry>,
}

impl Registry {
    /// Every job that is linked into this program, sorted by kind. The linker leaves a library out
    /// that nothing refers to; `use my_jobs as _;` is enough.
    pub fn linked() -> Vec<&'static JobEntry> {
        let mut entries: Vec<_> = inventory::iter::<EntryRef>().map(|entry| entry.0).collect();
        entries.sort_by_key(|entry| (entry.kind, entry.file, entry.line));
        entries
    }

    /// A registry of these jobs, for a worker that provides `data`. An entry may be named twice.
    ///
    /// # Errors
    ///
    /// Fails with [`Error::Setup`], which lists *all* that is wrong, one a line, with the places: no
    /// jobs at all, two jobs of one name, data that a job takes and the worker does not have, names
    /// that are none.
    pub fn build(
        entries: impl IntoIterator<Item = &'static JobEntry>,
        data: &DataMap,
    ) -> Result<Self> {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|entry| (entry.kind, entry.file, entry.line));
        // The same entry comes twice when a list names what inventory has found too.
        entries.dedup_by(|a, b| std::ptr::eq(*a, *b));
        let problems = problems(&entries, data);
        if !problems.is_empty() {
            return Err(Error::Setup(problems.join("\n")));
        }
        let named = entries
            .iter()
            .flat_map(|&entry| entry.names().map(move |name| (name, entry)));
        Ok(Self {
            by_name: named.collect(),
            entries,
        })
    }

    /// The job of this kind, or that has it for an alias.
    pub fn find(&self, kind: &str) -> Option<&'static JobEntry> {
        self.by_name.get(kind).copied()
    }

    /// All jobs, sorted by kind.
    pub fn entries(&self) -> &[&'static JobEntry] {
        &self.entries
    }

    /// Everything that is declared to recur, sorted by kind.
    pub fn recurring(&self) -> impl Iterator<Item = &'static RecurringEntry> + '_ {
        self.entries.iter().flat_map(|entry| entry.recurring)
    }

    /// Every name that [`find`](Self::find) finds: kinds and aliases, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.by_name.keys().copied().collect();
        names.sort_unstable();
        names
    }
}

fn problems(entries: &[&'static JobEntry], data: &DataMap) -> Vec<String> {
    if entries.is_empty() {
        return vec![
            "this worker has no jobs: no `#[job]` is linked into the program; if they are in a library, say \
             `use my_jobs as _;` in the program, or name them: `.jobs(jobs![send_welcome])`"
                .into(),
        ];
    }
    let mut problems = same_names(entries);
    problems.extend(same_recurring(entries));
    for entry in entries {
        problems.extend(bad_names(entry));
        problems.extend(entry.recurring.iter().flat_map(RecurringEntry::problems));
        problems.extend(missing_data(entry, data));
    }
    problems
}

fn same_names(entries: &[&'static JobEntry]) -> Vec<String> {
    let mut holders: BTreeMap<&str, Vec<&JobEntry>> = BTreeMap::new();
    for entry in entries {
        for name in entry.names() {
            holders.entry(name).or_default().push(entry);
        }
    }
    let shared = holders.into_iter().filter(|(_, holders)| holders.len() > 1);
    shared
        .map(|(name, holders)| same_name(name, &holders))
        .collect()
}

fn same_recurring(entries: &[&'static JobEntry]) -> Vec<String> {
    let mut holders: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for recurring in entries.iter().flat_map(|entry| entry.recurring) {
        let places = holders.entry(recurring.id).or_default();
        places.push(recurring.location().to_string());
    }
    let shared = holders.into_iter().filter(|(_, places)| places.len() > 1);
    shared
        .map(|(id, places)| {
            format!(
                "recurring job \"{id}\" {}: {}; give all but one another id, with `id = \"…\"`",
                times(places.len()),
                places.join(" and ")
            )
        })
        .collect()
}

fn times(n: usize) -> String {
    match n {
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}

fn same_name(name: &str, holders: &[&JobEntry]) -> String {
    let places: Vec<_> = holders
        .iter()
        .map(|entry| entry.location().to_string())
        .collect();
    let times = times(places.len());
    format!(
        "kind \"{name}\" {times}: {}; give all but one another name, with `name = \"…\"` (names and aliases count alike)",
        places.join(" and ")
    )
}

/// The macro checks names too; entries written by hand come here unchecked.
fn bad_names(entry: &JobEntry) -> impl Iterator<Item = String> {
    let queue = entry.defaults.queue.map(check_queue);
    let tags = entry.defaults.tags.iter().map(|tag| check_tag(tag));
    let checks = entry.names().map(check_kind).chain(queue).chain(tags);
    checks
        .filter_map(Result::err)
        .map(|error| format!("{} ({}): {error}", entry.kind, entry.location()))
}

fn missing_data(entry: &JobEntry, data: &DataMap) -> impl Iterator<Item = String> {
    let missing = (entry.requires)()
        .into_iter()
        .filter(|requirement| !data.provides(requirement));
    missing.map(|requirement| {
        let (kind, place, name) = (entry.kind, entry.location(), requirement.type_name);
        format!("{kind} ({place}) needs Data<{name}>: give this worker one with .data(..)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::Requirement;
    use crate::job::JobDefaults;

    fn leak(entry: JobEntry) -> &'static JobEntry {
        Box::leak(Box::new(entry))
    }

    const fn entry(kind: &'static str, line: u32) -> JobEntry {
        JobEntry {
            kind,
            file: "src/mail.rs",
            line,
            module: "app::mail",
            ..JobEntry::TEST
        }
    }

    fn problems(entries: &[&'static JobEntry], data: &DataMap) -> Vec<String> {
        let error = Registry::build(entries.iter().copied(), data).unwrap_err();
        error.to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn jobs_are_found_by_kind_and_alias_and_sorted() {
        let send = leak(JobEntry {
            aliases: &["mail"],
            ..entry("send", 1)
        });
        let archive = leak(entry("archive", 2));
        let registry = Registry::build([send, archive, send], &DataMap::new()).unwrap();
        assert_eq!(
            registry
                .entries()
                .iter()
                .map(|entry| entry.kind)
                .collect::<Vec<_>>(),
            ["archive", "send"]
        );
        assert_eq!(registry.names(), ["archive", "mail", "send"]);
        assert!(std::ptr::eq(registry.find("mail").unwrap(), send));
        assert!(registry.find("other").is_none());
    }

    #[test]
    fn no_jobs_at_all_is_a_mistake() {
        let problems = problems(&[], &DataMap::new());
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("use my_jobs as _;"), "{problems:?}");
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let first = leak(entry("send", 1));
        let second = leak(JobEntry {
            aliases: &["send"],
            ..entry("deliver", 2)
        });
        let needy = leak(JobEntry {
            requires: || vec![Requirement::data::<u8>(), Requirement::data::<String>()],
            ..entry("needy", 3)
        });
        let misnamed = leak(JobEntry {
            defaults: JobDefaults {
                queue: Some("No Queue"),
                ..JobDefaults::NONE
            },
            ..entry("misnamed", 4)
        });
        let mut data = DataMap::new();
        data.insert(7_u8);
        let problems = problems(&[first, second, needy, misnamed], &data);
        assert_eq!(
            problems,
            [
                "kind \"send\" twice: src/mail.rs:2 and src/mail.rs:1; give all but one another name, with `name = \"…\"` \
                 (names and aliases count alike)",
                "misnamed (src/mail.rs:4): \"No Queue\" cannot be the name of a queue: it must match [a-z0-9_.:-]{1,64}",
                "needy (src/mail.rs:3) needs Data<alloc::string::String>: give this worker one with .data(..)",
            ]
        );
    }

    #[test]
    fn data_is_kept_by_type() {
        let mut data = DataMap::new();
        assert_eq!(data.insert("one"), None);
        assert_eq!(data.insert("two"), Some("one"));
        assert_eq!((data.get(), data.get::<u8>()), (Some("two"), None));
        assert!(data.provides(&Requirement::data::<&str>()));
    }
}
