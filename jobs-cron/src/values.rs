//! A set of the values one field of a schedule may take.

use std::fmt;

/// The values a field of a schedule matches, in ascending order: seconds, minutes, hours, days, months or weekdays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Values(u64);

impl Values {
    pub(crate) fn insert(&mut self, value: u8) {
        self.0 |= 1 << value;
    }

    /// Whether the field matches this value.
    pub(crate) fn contains(self, value: u8) -> bool {
        value < 64 && self.0 & (1 << value) != 0
    }

    /// The values, ascending.
    pub(crate) fn iter(self) -> impl DoubleEndedIterator<Item = u8> + Clone {
        (0..64).filter(move |value| self.contains(*value))
    }

    /// How many values the field matches.
    pub(crate) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the field matches nothing by plain values (then it has rules such as `L`).
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The value, when there is exactly one.
    pub(crate) fn single(self) -> Option<u8> {
        (self.len() == 1).then(|| self.0.trailing_zeros() as u8)
    }
}

impl FromIterator<u8> for Values {
    fn from_iter<I: IntoIterator<Item = u8>>(iter: I) -> Self {
        let mut values = Self::default();
        iter.into_iter().for_each(|value| values.insert(value));
        values
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
