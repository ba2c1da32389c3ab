//! How many jobs of some queues may run at once in one worker.

use crate::error::{Error, Result};
use crate::job::{QueueOrder, QueuePattern};
use crate::storage::QueueShare;

/// How many jobs of the queues that a pattern matches may run at once, all of them together.
#[derive(Clone, Debug)]
pub(super) struct Cap {
    pub(super) pattern: QueuePattern,
    pub(super) jobs: usize,
}

/// The caps of a worker. A queue counts to the first that matches it.
#[derive(Clone, Debug, Default)]
pub(super) struct Caps(Vec<Cap>);

impl Caps {
    /// Adds one.
    pub(super) fn add(&mut self, pattern: String, jobs: usize) -> Result<()> {
        let pattern = QueuePattern::new(pattern)?;
        if jobs == 0 {
            return Err(Error::Invalid(format!(
                "queue `{pattern}` has concurrency 0 and would never be served: give it at least 1, or pause it"
            )));
        }
        if let Some(wider) = self.0.iter().find(|cap| cap.pattern.includes(&pattern)) {
            let wider = &wider.pattern;
            return Err(Error::Invalid(format!(
                "the concurrency of queue `{pattern}` would never count, for that of `{wider}`, given before \
                 it, counts for all its jobs: give that after it, or leave it out"
            )));
        }
        self.0.push(Cap { pattern, jobs });
        Ok(())
    }

    /// Whether each is of a queue that is served; what is not, in words.
    pub(super) fn check(&self, order: &QueueOrder) -> Result<()> {
        for Cap { pattern, .. } in &self.0 {
            let mut served = order.patterns();
            if !served.any(|served| served.includes(pattern) || pattern.includes(served)) {
                return Err(Error::Invalid(format!(
                    "queue `{pattern}` has a concurrency, but this worker does not serve it: it serves {order}"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Cap> {
        self.0.iter()
    }

    pub(super) fn get(&self, cap: usize) -> usize {
        self.0[cap].jobs
    }

    /// Which cap the jobs of a queue count to.
    pub(super) fn of(&self, queue: &str) -> Option<usize> {
        self.0.iter().position(|cap| cap.pattern.matches(queue))
    }

    /// Keeps the shares of a claim to the room that there is under each cap. Where a share is wider than a
    /// cap, the queues of the cap get a share of their own just before it: a queue is served by the first
    /// share that matches it.
    pub(super) fn keep_to(&self, rooms: &[usize], shares: Vec<QueueShare>) -> Vec<QueueShare> {
        if self.0.is_empty() {
            return shares;
        }
        let mut kept: Vec<QueueShare> = Vec::with_capacity(shares.len() + self.0.len());
        for mut share in shares {
            if let Some(cap) = self
                .0
                .iter()
                .position(|cap| cap.pattern.includes(&share.queues))
            {
                share.limit = share.limit.min(rooms[cap]);
            }
            for (cap, room) in self.0.iter().zip(rooms) {
                let served = |earlier: &QueueShare| earlier.queues.includes(&cap.pattern);
                if cap.pattern != share.queues && served(&share) && !kept.iter().any(served) {
                    kept.push(QueueShare {
                        queues: cap.pattern.clone(),
                        limit: share.limit.min(*room),
                    });
                }
            }
            kept.push(share);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps<const N: usize>(caps: [(&str, usize); N]) -> Result<Caps> {
        let mut all = Caps::default();
        for (pattern, jobs) in caps {
            all.add(pattern.into(), jobs)?;
        }
        Ok(all)
    }

    #[test]
    fn wrong_ones_are_refused_in_words() {
        let words = |result: Result<Caps>| result.unwrap_err().to_string();
        assert!(words(caps([("mail", 0)])).contains("concurrency 0"));
        assert!(words(caps([("Mail", 1)])).contains("[a-z0-9_.:-]"));
        assert!(words(caps([("mail", 1), ("mail", 2)])).contains("never count"));
        assert!(words(caps([("mail*", 1), ("mail.a", 2)])).contains("given before"));
        let nested = caps([("mail.a", 2), ("mail.*", 3), ("c", 1)]).unwrap();
        assert_eq!(
            [nested.of("mail.a"), nested.of("mail.b")],
            [Some(0), Some(1)]
        );
        assert_eq!(nested.of("d"), None);
        let order = |names: &[&str]| QueueOrder::strict(names.iter().copied()).unwrap();
        assert!(nested.check(&order(&["*"])).is_ok());
        assert!(nested.check(&order(&["mail.a", "c"])).is_ok());
        let why = nested.check(&order(&["mail.*"])).unwrap_err().to_string();
        assert!(
            why.contains("queue `c`") && why.contains("serves mail.*"),
            "{why}"
        );
    }

    #[test]
    fn shares_keep_to_the_room() {
        let shares = |names: &[&str]| {
            let share = |name: &&str| QueueShare {
                queues: QueuePattern::new(*name).unwrap(),
                limit: 10,
            };
            names.iter().map(share).collect::<Vec<_>>()
        };
        let kept = |caps: &Caps, rooms: &[usize], names: &[&str]| {
            let kept = caps.keep_to(rooms, shares(names)).into_iter();
            let text = kept.map(|share| format!("{} {}", share.queues, share.limit));
            text.collect::<Vec<_>>().join(", ")
        };
        let two = caps([("mail.a", 2), ("mail.*", 30)]).unwrap();
        assert_eq!(kept(&two, &[2, 30], &["*"]), "mail.a 2, mail.* 10, * 10");
        assert_eq!(
            kept(&two, &[0, 3], &["b", "*"]),
            "b 10, mail.a 0, mail.* 3, * 10"
        );
        assert_eq!(
            kept(&two, &[1, 3], &["mail.a", "mail.b", "c"]),
            "mail.a 1, mail.b 3, c 10"
        );
        assert_eq!(
            kept(&two, &[1, 3], &["mail.*", "*"]),
            "mail.a 1, mail.* 3, * 10"
        );
        assert_eq!(kept(&Caps::default(), &[], &["*"]), "* 10");
    }
}
