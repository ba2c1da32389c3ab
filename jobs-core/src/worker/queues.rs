//! Which queues are served, and in what order a claim empties them.

use super::caps::Caps;
use crate::job::{QueueOrder, QueuePattern};
use crate::storage::QueueShare;

/// The length of a turn of a queue with weight 1: large, so that it divides well.
const TURN: usize = 5_040;

/// The queues of a worker as it serves them now.
#[derive(Clone, Debug)]
pub(super) struct Queues {
    order: QueueOrder,
    caps: Caps,
}

impl Queues {
    pub(super) fn new(order: QueueOrder, caps: Caps) -> Self {
        Self { order, caps }
    }

    pub(super) fn serves(&self, queue: &str) -> bool {
        self.order.patterns().any(|pattern| pattern.matches(queue))
    }

    /// The order in which claimed jobs of these queues are to be started: smaller first. With a strict
    /// order it is the place of the queue. With weights the queues take turns as their weights say
    /// (weighted fair queueing); `turn` carries on from one claim to the next.
    pub(super) fn ranks<'a>(
        &self,
        queues: impl IntoIterator<Item = &'a str>,
        turn: &mut usize,
    ) -> Vec<usize> {
        let patterns = || self.order.patterns().enumerate();
        let Some(weights) = self.order.weights() else {
            let place = |queue: &str| {
                let found = patterns().find(|(_, pattern)| pattern.matches(queue));
                found.map_or(patterns().len(), |(place, _)| place)
            };
            return queues.into_iter().map(place).collect();
        };
        // The narrowest that matches: see `in_shares`.
        let place = |queue: &str| {
            let found = patterns().filter(|(_, pattern)| pattern.matches(queue));
            let narrowest = found
                .max_by_key(|(_, pattern)| (pattern.exact().is_some(), pattern.as_str().len()));
            narrowest.map_or(weights.len(), |(place, _)| place)
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

    /// How to share out a claim of `limit` jobs, with so much room under each cap. With weights, every
    /// queue gets its share, and what a share cannot fill goes to nobody: the caller claims again for
    /// [the rest](Self::remainder).
    pub(super) fn shares(
        &self,
        limit: usize,
        rooms: &[usize],
        luck: impl FnMut() -> f64,
    ) -> Vec<QueueShare> {
        let shares = match self.order.weights() {
            Some(weights) => in_shares(weights, limit, luck),
            None => all_to_each(self.order.patterns(), limit),
        };
        self.caps.keep_to(rooms, shares)
    }

    /// The same queues without shares: for what the shares left over.
    pub(super) fn remainder(
        &self,
        limit: usize,
        rooms: &[usize],
        luck: impl FnMut() -> f64,
    ) -> Vec<QueueShare> {
        let shares = match self.order.weights() {
            Some(weights) => {
                let shares = in_shares(weights, limit, luck);
                all_to_each(shares.iter().map(|share| &share.queues), limit)
            }
            None => all_to_each(self.order.patterns(), limit),
        };
        self.caps.keep_to(rooms, shares)
    }

    /// Whether a short answer to [`shares`](Self::shares) may leave due jobs behind.
    pub(super) fn has_shares(&self) -> bool {
        self.order
            .weights()
            .is_some_and(|weights| weights.len() > 1)
    }
}

fn all_to_each<'a>(
    patterns: impl Iterator<Item = &'a QueuePattern>,
    limit: usize,
) -> Vec<QueueShare> {
    let share = |queues: &QueuePattern| QueueShare {
        queues: queues.clone(),
        limit,
    };
    patterns.map(share).collect()
}

fn in_shares(
    weights: &[(QueuePattern, u32)],
    limit: usize,
    mut luck: impl FnMut() -> f64,
) -> Vec<QueueShare> {
    let total: f64 = weights.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let mut shares: Vec<_> = weights
        .iter()
        .map(|(queues, weight)| {
            let exact = limit as f64 * f64::from(*weight) / total;
            // Rounded by chance, so that a small claim is fair on average.
            let share = exact.floor() + f64::from(u8::from(luck() < exact.fract()));
            (
                luck().powf(1.0 / f64::from(*weight)),
                share as usize,
                queues,
            )
        })
        .collect();
    // Heavier queues are likelier to come first (Efraimidis and Spirakis, "Weighted random sampling with a
    // reservoir", 2006): it matters where the limit cuts. But a queue is served by the first that matches
    // it, so that one that is named must come before the patterns it is a part of.
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut in_order: Vec<QueueShare> = Vec::with_capacity(shares.len());
    for (_, limit, queues) in shares {
        let wider = |earlier: &QueueShare| earlier.queues.includes(queues);
        let at = in_order.iter().position(wider).unwrap_or(in_order.len());
        let queues = queues.clone();
        in_order.insert(at, QueueShare { queues, limit });
    }
    in_order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict<const N: usize>(names: [&str; N]) -> Queues {
        Queues::new(QueueOrder::strict(names).unwrap(), Caps::default())
    }

    fn weighted<const N: usize>(weights: [(&str, u32); N]) -> Queues {
        Queues::new(QueueOrder::weighted(weights).unwrap(), Caps::default())
    }

    #[test]
    fn strict_order_offers_everything_to_each() {
        let queues = strict(["a", "b"]);
        let shares = queues.shares(10, &[], || 0.5);
        assert_eq!(shares.len(), 2);
        assert!(shares.iter().all(|share| share.limit == 10));
        assert_eq!(queues.ranks(["b", "a", "b"], &mut 0), [1, 0, 1]);
    }

    #[test]
    fn weights_give_about_their_shares() {
        let queues = weighted([("a", 6), ("b", 3), ("c", 1)]);
        let mut random = fastrand::Rng::with_seed(7);
        let mut got = [0; 3];
        for _ in 0..2_000 {
            for share in queues.shares(5, &[], || random.f64()) {
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
        let queues = weighted([("a", 2), ("b", 1)]);
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
    fn what_is_named_counts_before_the_pattern_it_is_a_part_of() {
        let queues = weighted([("*", 9), ("mail.*", 5), ("mail.a", 1)]);
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20 {
            let shares = queues.shares(15, &[], || random.f64());
            let names: Vec<_> = shares.iter().map(|share| share.queues.as_str()).collect();
            assert_eq!(names, ["mail.a", "mail.*", "*"]);
        }
        // Turns as long as the weights say.
        assert_eq!(
            queues.ranks(["b", "mail.b", "mail.a"], &mut 0),
            [560, 1_008, 5_040]
        );
    }
}
