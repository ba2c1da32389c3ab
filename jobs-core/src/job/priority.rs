//! The order of jobs within a queue.

use serde::{Deserialize, Serialize};

/// Decides which of two due jobs of one queue runs first: the one with the *smaller* number, as with
/// `nice`. Equal priorities run in the order in which they fell due. Defaults to [`Priority::NORMAL`].
///
/// ```
/// # use jobs_core::job::Priority;
/// assert!(Priority::HIGH < Priority::NORMAL);
/// assert!(Priority::new(5) < Priority::LOW);
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Priority(i16);

impl Priority {
    /// Before everything else: -20.
    pub const HIGHEST: Self = Self(-20);
    /// Before ordinary jobs: -10.
    pub const HIGH: Self = Self(-10);
    /// Where no priority is given: 0.
    pub const NORMAL: Self = Self(0);
    /// After ordinary jobs: 10.
    pub const LOW: Self = Self(10);
    /// When nothing else is due: 20.
    pub const LOWEST: Self = Self(20);

    /// Any number; smaller runs sooner.
    pub const fn new(number: i16) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> i16 {
        self.0
    }
}
