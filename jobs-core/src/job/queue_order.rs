//! In which order queues are served.

use serde::{Deserialize, Serialize};

use super::QueuePattern;
use crate::error::{Error, Result};

/// In which order queues are served: one strictly after the other, or all in shares.
///
/// ```
/// # use jobs_core::job::QueueOrder;
/// let strict = QueueOrder::strict(["critical", "mail.*"])?;
/// let shares = QueueOrder::weighted([("mail", 3), ("reports", 1)])?;
/// assert_eq!(shares.to_string(), "mail 3, reports 1");
/// assert!(QueueOrder::weighted([("mail", 0)]).is_err());
/// # Ok::<(), jobs_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct QueueOrder {
    queues: Vec<(QueuePattern, u32)>,
    weighted: bool,
}

/// How it is stored: `{"strict": ["a", "b"]}` or `{"weighted": [["a", 3], ["b", 1]]}`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Strict(Vec<String>),
    Weighted(Vec<(String, u32)>),
}

impl QueueOrder {
    /// In this order: a queue is served while all before it are empty. Names may end in `*`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with all that is wrong, one problem a line: no queue, a name that cannot be, one
    /// that is named twice.
    pub fn strict<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Result<Self> {
        Self::checked(names.into_iter().map(|name| (name, 1)), false)
    }

    /// In about these shares, while all of them have work: with `[("mail", 3), ("reports", 1)]` three of
    /// four jobs are mail.
    ///
    /// # Errors
    ///
    /// As [`strict`](Self::strict); and no weight may be 0.
    pub fn weighted<N: Into<String>>(weights: impl IntoIterator<Item = (N, u32)>) -> Result<Self> {
        Self::checked(weights, true)
    }

    /// All queues, the most urgent jobs first and the queues in turn.
    pub fn all() -> Self {
        Self {
            queues: vec![(QueuePattern::all(), 1)],
            weighted: false,
        }
    }

    /// All that is wrong, one problem a line.
    fn checked<N: Into<String>>(
        queues: impl IntoIterator<Item = (N, u32)>,
        weighted: bool,
    ) -> Result<Self> {
        let mut problems = Vec::new();
        let mut kept: Vec<(QueuePattern, u32)> = Vec::new();
        let mut named = 0;
        for (name, weight) in queues {
            named += 1;
            let pattern = match QueuePattern::new(name) {
                Ok(pattern) => pattern,
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            if weight == 0 {
                problems.push(format!(
                    "queue `{pattern}` has weight 0 and would never be served: leave it out, or give it 1"
                ));
            }
            if kept.iter().any(|(known, _)| *known == pattern) {
                problems.push(format!("queue `{pattern}` is named twice"));
            }
            kept.push((pattern, weight));
        }
        if named == 0 {
            problems.push(
                "no queue is named, so that none would be served: name at least one, or `*` for all"
                    .into(),
            );
        }
        if problems.is_empty() {
            let queues = kept;
            Ok(Self { queues, weighted })
        } else {
            Err(Error::Invalid(problems.join("\n")))
        }
    }

    /// The queues, the first to be served first.
    pub fn patterns(&self) -> impl ExactSizeIterator<Item = &QueuePattern> {
        self.queues.iter().map(|(pattern, _)| pattern)
    }

    /// The shares, if it goes by shares.
    pub fn weights(&self) -> Option<&[(QueuePattern, u32)]> {
        self.weighted.then_some(&self.queues)
    }

    /// What a worker that serves these queues serves when `other` is to hold: of the queues that `other`
    /// names those that are among its own, in the order of `other`; then its own. So `other` never makes a
    /// worker serve what it does not serve, or leave what it does.
    #[must_use]
    pub fn led_by(&self, other: &Self) -> Self {
        let mut queues: Vec<(QueuePattern, u32)> = Vec::new();
        let mut add = |pattern: &QueuePattern, weight| {
            if queues.iter().all(|(known, _)| known != pattern) {
                queues.push((pattern.clone(), weight));
            }
        };
        for (pattern, weight) in &other.queues {
            if self.patterns().any(|own| own.includes(pattern)) {
                add(pattern, *weight);
            } else {
                let parts = self.patterns().filter(|own| pattern.includes(own));
                parts.for_each(|own| add(own, *weight));
            }
        }
        self.queues
            .iter()
            .for_each(|(own, weight)| add(own, *weight));
        let weighted = other.weighted;
        Self { queues, weighted }
    }
}

impl std::fmt::Display for QueueOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (pattern, weight)) in self.queues.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{pattern}")?;
            if self.weighted {
                write!(f, " {weight}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<Written> for QueueOrder {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        match written {
            Written::Strict(names) => Self::strict(names),
            Written::Weighted(weights) => Self::weighted(weights),
        }
    }
}

impl From<QueueOrder> for Written {
    fn from(order: QueueOrder) -> Self {
        let queues = order.queues.into_iter();
        let mut named = queues.map(|(pattern, weight)| (pattern.to_string(), weight));
        if order.weighted {
            Self::Weighted(named.collect())
        } else {
            Self::Strict(named.by_ref().map(|(name, _)| name).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_orders_are_refused_in_words() {
        let words = |result: Result<QueueOrder>| result.unwrap_err().to_string();
        assert!(words(QueueOrder::strict::<&str>([])).contains("no queue is named"));
        assert!(words(QueueOrder::strict(["a", "a"])).contains("twice"));
        assert!(words(QueueOrder::strict(["Mail"])).contains("[a-z0-9_.:-]"));
        assert!(words(QueueOrder::strict(["ma*il"])).contains("[a-z0-9_.:-]"));
        assert!(words(QueueOrder::weighted([("a", 0)])).contains("weight 0"));
        let all = words(QueueOrder::strict(["a b", "x", "x", "*y"]));
        assert_eq!(all.lines().count(), 3, "{all}");
    }

    #[test]
    fn it_comes_back_from_where_it_was_written() {
        for (order, text) in [
            (
                QueueOrder::strict(["a", "b.*"]).unwrap(),
                r#"{"strict":["a","b.*"]}"#,
            ),
            (
                QueueOrder::weighted([("a", 3), ("*", 1)]).unwrap(),
                r#"{"weighted":[["a",3],["*",1]]}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&order).unwrap(), text);
            assert_eq!(serde_json::from_str::<QueueOrder>(text).unwrap(), order);
        }
        let wrong = serde_json::from_str::<QueueOrder>(r#"{"weighted":[["a",0]]}"#);
        assert!(wrong.unwrap_err().to_string().contains("weight 0"));
    }

    #[test]
    fn an_order_leads_without_adding_or_taking_away() {
        let strict = |names: &[&str]| QueueOrder::strict(names.iter().copied()).unwrap();
        let led = |own: &[&str], other: &[&str]| strict(own).led_by(&strict(other)).to_string();
        assert_eq!(led(&["a", "b", "c"], &["c", "x", "a"]), "c, a, b");
        assert_eq!(led(&["*"], &["mail", "c"]), "mail, c, *");
        assert_eq!(
            led(&["mail.*", "c"], &["c", "mail.bulk", "mail"]),
            "c, mail.bulk, mail.*"
        );
        assert_eq!(led(&["a", "b"], &["*"]), "a, b");
        assert_eq!(led(&["c", "mail.a"], &["mail.*", "c"]), "mail.a, c");
        let shares = QueueOrder::weighted([("a", 2), ("x", 9), ("b", 5)]).unwrap();
        let own = QueueOrder::weighted([("a", 1), ("b", 1), ("c", 3)]).unwrap();
        assert_eq!(own.led_by(&shares).to_string(), "a 2, b 5, c 3");
        assert_eq!(
            strict(&["*"]).led_by(&shares).to_string(),
            "a 2, x 9, b 5, * 1"
        );
        assert_eq!(own.led_by(&strict(&["c"])).to_string(), "c, a, b");
    }
}
