//! Which queues are served, and in what order a claim empties them.

use crate::error::{Error, Result};
use crate::job::QueuePattern;
use crate::storage::QueueShare;

/// The length of a turn of a queue with weight 1: large, so that it divides well.
const TURN: usize = 5_040;

/// The value, or its error among the problems.
fn noted<T>(result: Result<T, impl ToString>, problems: &mut Vec<String>) -> Option<T> {
    result
        .map_err(|error| problems.push(error.to_string()))
        .ok()
}

/// The queues of a worker.
#[derive(Clone, Debug)]
pub(super) enum Queues {
    /// In this order: a queue is served while all before it are empty.
    Strict(Vec<QueuePattern>),
    /// In about these shares, as long as all have work.
    Weighted(Vec<(QueuePattern, u32)>),
}

impl Default for Queues {
    fn default() -> Self {
        Self::Strict(vec![QueuePattern::all()])
    }
}

impl Queues {
    pub(super) fn strict<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Result<Self> {
        let mut problems = Vec::new();
        let named = |name| noted(QueuePattern::new(name), &mut problems);
        let queues = Self::Strict(names.into_iter().filter_map(named).collect());
        queues.checked(problems)
    }

    pub(super) fn weighted<N: Into<String>>(
        weights: impl IntoIterator<Item = (N, u32)>,
    ) -> Result<Self> {
        let mut problems = Vec::new();
        let named = |(name, weight)| Some((noted(QueuePattern::new(name), &mut problems)?, weight));
        let weights: Vec<_> = weights.into_iter().filter_map(named).collect();
        for (name, _) in weights.iter().filter(|(_, weight)| *weight == 0) {
            let name = name.as_str();
            problems.push(format!(
                "queue `{name}` has weight 0 and would never be served: leave it out, or give it 1"
            ));
        }
        Self::Weighted(weights).checked(problems)
    }

    /// All that is wrong, one problem a line.
    fn checked(self, mut problems: Vec<String>) -> Result<Self> {
        let patterns = self.patterns();
        if patterns.is_empty() && problems.is_empty() {
            problems.push(
                "the worker serves no queue: name at least one, or leave `queues` out to serve all"
                    .into(),
            );
        }
        for (at, name) in patterns.iter().enumerate() {
            if patterns[..at].contains(name) {
                problems.push(format!("queue `{}` is named twice", name.as_str()));
            }
        }
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(Error::Setup(problems.join("\n")))
        }
    }

    pub(super) fn patterns(&self) -> Vec<&QueuePattern> {
        match self {
            Self::Strict(patterns) => patterns.iter().collect(),
            Self::Weighted(weights) => weights.iter().map(|(pattern, _)| pattern).collect(),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.patterns()
            .into_iter()
            .map(|pattern| pattern.as_str().to_owned())
            .collect()
    }

    /// The order in which claimed jobs of these queues are to be started: smaller first. With a strict
    /// order it is the place of the queue. With weights the queues take turns as their weights say
    /// (weighted fair queueing); `turn` carries on from one claim to the next.
    pub(super) fn ranks<'a>(
        &self,
        queues: impl IntoIterator<Item = &'a str>,
        turn: &mut usize,
    ) -> Vec<usize> {
        let patterns = self.patterns();
        let place = |queue: &str| {
            let found = patterns.iter().position(|pattern| pattern.matches(queue));
            found.unwrap_or(patterns.len())
        };
        let Self::Weighted(weights) = self else {
            return queues.into_iter().map(place).collect();
        };
        let start = *turn;
        let mut taken = vec![0; weights.len() + 1];
        let mut rank = |queue| {
            let place = place(queue);
            let weight = weights.get(place).map_or(1, |(_, weight)| *weight as usize);
            taken[place] += TURN;
            let rank = start + taken[place] / weight;
            *turn = rank.max(*turn);
            rank
        };
        queues.into_iter().map(&mut rank).collect()
    }

    /// How to share out a claim of `limit` jobs. With weights, every queue gets its share, and what a
    /// share cannot fill goes to nobody: the caller claims again for `dry` queues' remainder.
    pub(super) fn shares(&self, limit: usize, mut luck: impl FnMut() -> f64) -> Vec<QueueShare> {
        match self {
            Self::Strict(patterns) => patterns
                .iter()
                .map(|queues| QueueShare {
                    queues: queues.clone(),
                    limit,
                })
                .collect(),
            Self::Weighted(weights) => {
                let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
                let mut shares: Vec<_> = weights
                    .iter()
                    .map(|(queues, weight)| {
                        let exact = limit as f64 * f64::from(*weight) / f64::from(total);
                        // Rounded by chance, so that a small claim is fair on average.
                        let share = exact.floor() + f64::from(u8::from(luck() < exact.fract()));
                        (
                            luck().powf(1.0 / f64::from(*weight)),
                            share as usize,
                            queues,
                        )
                    })
                    .collect();
                // Heavier queues are likelier to come first (Efraimidis and Spirakis, "Weighted random
                // sampling with a reservoir", 2006): it matters where the limit cuts.
                shares.sort_by(|a, b| b.0.total_cmp(&a.0));
                shares
                    .into_iter()
                    .map(|(_, limit, queues)| QueueShare {
                        queues: queues.clone(),
                        limit,
                    })
                    .collect()
            }
        }
    }

    /// The same queues without shares: for what the shares left over.
    pub(super) fn remainder(&self, limit: usize, luck: impl FnMut() -> f64) -> Vec<QueueShare> {
        let mut shares = self.shares(limit, luck);
        shares.iter_mut().for_each(|share| share.limit = limit);
        shares
    }

    /// Whether a short answer to [`shares`](Self::shares) may leave due jobs behind.
    pub(super) fn has_shares(&self) -> bool {
        matches!(self, Self::Weighted(weights) if weights.len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_order_offers_everything_to_each() {
        let queues = Queues::strict(["a", "b"]).unwrap();
        let shares = queues.shares(10, || 0.5);
        assert_eq!(shares.len(), 2);
        assert!(shares.iter().all(|share| share.limit == 10));
        assert_eq!(queues.ranks(["b", "a", "b"], &mut 0), [1, 0, 1]);
    }

    #[test]
    fn weights_give_about_their_shares() {
        let queues = Queues::weighted([("a", 6), ("b", 3), ("c", 1)]).unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        let mut got = [0; 3];
        for _ in 0..2_000 {
            for share in queues.shares(5, || random.f64()) {
                got[["a", "b", "c"]
                    .iter()
                    .position(|q| *q == share.queues.as_str())
                    .unwrap()] += share.limit;
            }
        }
        for (got, want) in got.into_iter().zip([6_000, 3_000, 1_000]) {
            assert!((got as i64 - want).abs() < 300, "{got} of {want}");
        }
    }

    #[test]
    fn weights_take_turns() {
        let queues = Queues::weighted([("a", 2), ("b", 1)]).unwrap();
        let mut turn = 0;
        let names = ["b", "b", "a", "a", "a", "a"];
        let ranks = queues.ranks(names, &mut turn);
        let mut order: Vec<_> = ranks.iter().zip(names).collect();
        order.sort_by_key(|(rank, _)| **rank);
        let order: String = order.into_iter().map(|(_, name)| name).collect();
        assert_eq!(order, "abaaba");
        assert!(queues.ranks(["b"], &mut turn)[0] > *ranks.iter().max().unwrap());
    }

    #[test]
    fn wrong_queues_are_refused_in_words() {
        let words = |result: Result<Queues>| result.unwrap_err().to_string();
        assert!(words(Queues::strict::<&str>([])).contains("serves no queue"));
        assert!(words(Queues::strict(["a", "a"])).contains("twice"));
        assert!(words(Queues::strict(["Mail"])).contains("[a-z0-9_.:-]"));
        assert!(words(Queues::weighted([("a", 0)])).contains("weight 0"));
        let all = words(Queues::strict(["a b", "x", "x", "*y"]));
        assert_eq!(all.lines().count(), 3, "{all}");
    }
}
