//! A delay per occurrence that every scheduler computes alike.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// A delay from zero to `max` (inclusive, in milliseconds), spread evenly, to be added to an occurrence.
///
/// It depends on nothing but the recurring job's id and the occurrence, so that any number of schedulers agree on it
/// without talking, and a repeated insert is the same insert. The occurrence itself stays what it is: it names the run.
/// The computation never changes between versions. Where `max` is longer than the distance to the next occurrence,
/// runs may come in another order than their occurrences.
#[must_use]
pub fn jitter(id: &str, occurrence: DateTime<Utc>, max: Duration) -> Duration {
    let choices = u64::try_from(max.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let instant = occurrence.timestamp_micros().to_le_bytes();
    // FNV-1a over id and instant, finished by the mixer of SplitMix64, since FNV leaves the high bits of short inputs poor.
    let hash = id
        .bytes()
        .chain(instant)
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let hash = hash ^ (hash >> 31);
    // The high half of the product spreads evenly over any number of choices.
    let chosen = (u128::from(hash) * u128::from(choices)) >> 64;
    Duration::from_millis(u64::try_from(chosen).unwrap_or(0))
}
