//! How long to wait before a retry.

use std::borrow::Cow;
use std::panic::catch_unwind;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Ten years: beyond it a date is no plan any more, and arithmetic on it would overflow somewhere.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How long to wait before retry number `n` (the first retry is 1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Backoff {
    /// `n^4 + 15 s`, plus up to `30 s * n` at random: seconds at first, about three hours for the tenth
    /// retry. The shape that Sidekiq introduced and Hangfire took over.
    #[default]
    Polynomial,
    /// Always the same.
    Fixed(Duration),
    /// `step * n`, at most `max`.
    Linear {
        /// Added for each retry.
        step: Duration,
        /// The longest wait; `Duration::MAX` for no limit.
        max: Duration,
    },
    /// `base * factor^(n - 1)`, at most `max`, then shortened at random by up to `jitter` of itself.
    Exponential {
        /// Before the first retry.
        base: Duration,
        /// How much longer each time; 2 doubles.
        factor: f64,
        /// The longest wait; `Duration::MAX` for no limit.
        max: Duration,
        /// The share that is left to chance, from 0 to 1.
        jitter: f64,
    },
    /// One wait for each retry; the last one repeats. Empty means none.
    List(Cow<'static, [Duration]>),
    /// Whatever the function says for retry `n`, or `Polynomial` if it panics. It can be declared on a job but not
    /// stored with one.
    #[serde(skip)]
    Function(fn(u32) -> Duration),
}

impl Backoff {
    /// Refuses numbers that mean nothing. JSON could not keep some of them: they would be read back as
    /// something else, or not at all.
    pub(crate) fn check(&self) -> Result<()> {
        let Self::Exponential { factor, jitter, .. } = self else {
            return Ok(());
        };
        if !factor.is_finite() || *factor <= 0.0 {
            return Err(Error::Invalid(format!(
                "the factor of an exponential backoff is a number above 0, not {factor}: 2 doubles each wait"
            )));
        }
        if !(0.0..=1.0).contains(jitter) {
            return Err(Error::Invalid(format!(
                "the jitter of an exponential backoff is a share from 0 to 1, not {jitter}"
            )));
        }
        Ok(())
    }

    /// The wait before retry `n`, counted from 1. `luck`, from 0 to 1, is the share of chance.
    ///
    /// ```
    /// # use jobs_core::job::Backoff;
    /// # use std::time::Duration;
    /// assert_eq!(Backoff::Polynomial.delay(2, 0.0), Duration::from_secs(16 + 15));
    /// ```
    pub fn delay(&self, n: u32, luck: f64) -> Duration {
        let n = n.max(1);
        let wait = match self {
            Self::Polynomial => {
                let n = f64::from(n);
                seconds(n.powi(4) + 15.0 + luck * 30.0 * n)
            }
            Self::Fixed(wait) => *wait,
            Self::Linear { step, max } => step.saturating_mul(n).min(*max),
            Self::Exponential {
                base,
                factor,
                max,
                jitter,
            } => {
                let grown = base.as_secs_f64() * factor.powf(f64::from(n - 1));
                let wait = grown.min(max.as_secs_f64());
                seconds(wait - wait * jitter.clamp(0.0, 1.0) * luck)
            }
            Self::List(waits) => {
                let at = (n as usize).min(waits.len());
                at.checked_sub(1).map_or(Duration::ZERO, |at| waits[at])
            }
            // Nobody is there to catch its panic, and without an answer the job would stay where it is.
            Self::Function(wait) => {
                catch_unwind(|| wait(n)).unwrap_or_else(|_| Self::Polynomial.delay(n, luck))
            }
        };
        wait.min(LONGEST)
    }
}

/// Seconds as a duration; what is no duration (NaN, negative, too long) becomes the nearest one.
fn seconds(wait: f64) -> Duration {
    Duration::try_from_secs_f64(wait.max(0.0)).unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn polynomial_stays_within_its_bounds() {
        for n in 1..=10u32 {
            let base = u64::from(n).pow(4) + 15;
            assert_eq!(Backoff::Polynomial.delay(n, 0.0), secs(base));
            assert_eq!(
                Backoff::Polynomial.delay(n, 1.0),
                secs(base + 30 * u64::from(n))
            );
        }
    }

    #[test]
    fn the_last_of_a_list_repeats() {
        let list = Backoff::List(vec![secs(1), secs(60)].into());
        let waits: Vec<_> = (1..=4).map(|n| list.delay(n, 0.5)).collect();
        assert_eq!(waits, [secs(1), secs(60), secs(60), secs(60)]);
        assert_eq!(
            Backoff::List(Cow::Borrowed(&[])).delay(1, 0.0),
            Duration::ZERO
        );
    }

    #[test]
    fn linear_and_exponential_are_capped() {
        let linear = Backoff::Linear {
            step: secs(10),
            max: secs(25),
        };
        assert_eq!(
            [1, 2, 3, 9].map(|n| linear.delay(n, 0.0)),
            [10, 20, 25, 25].map(secs)
        );
        let doubling = Backoff::Exponential {
            base: secs(1),
            factor: 2.0,
            max: secs(60),
            jitter: 0.5,
        };
        assert_eq!(
            [1, 2, 7, 900].map(|n| doubling.delay(n, 0.0)),
            [1, 2, 60, 60].map(secs)
        );
        assert_eq!(doubling.delay(7, 1.0), secs(30));
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!(Backoff::Polynomial.delay(u32::MAX, 1.0), LONGEST);
        let wild = Backoff::Exponential {
            base: secs(1),
            factor: f64::NAN,
            max: secs(9),
            jitter: 0.0,
        };
        assert!(wild.delay(3, 0.0) <= secs(9));
        assert_eq!(Backoff::Function(|_| Duration::MAX).delay(1, 0.0), LONGEST);
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        let with = |factor, jitter| Backoff::Exponential {
            base: secs(1),
            factor,
            max: Duration::MAX,
            jitter,
        };
        assert!(with(2.0, 0.0).check().is_ok() && with(0.5, 1.0).check().is_ok());
        for (factor, jitter) in [
            (f64::NAN, 0.0),
            (f64::INFINITY, 0.0),
            (0.0, 0.0),
            (-2.0, 0.0),
        ] {
            let error = with(factor, jitter).check().unwrap_err().to_string();
            assert!(error.contains("factor"), "{error}");
        }
        for jitter in [f64::NAN, -0.1, 1.1] {
            let error = with(2.0, jitter).check().unwrap_err().to_string();
            assert!(error.contains("jitter"), "{error}");
        }
    }

    #[test]
    fn a_function_cannot_be_stored() {
        assert!(serde_json::to_string(&Backoff::Function(|_| Duration::ZERO)).is_err());
        let stored = serde_json::to_string(&Backoff::Fixed(secs(3))).unwrap();
        let read: Backoff = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.delay(1, 0.0), secs(3));
    }
}
