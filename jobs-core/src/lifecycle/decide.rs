//! The retry policy, and the function that applies it.

use std::time::Duration;

use super::{Advice, Failure, Outcome, Success, Transition};
use crate::job::Backoff;

/// How often and when a failed attempt is repeated.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// How many attempts may follow the first. Defaults to 10.
    pub retries: u32,
    /// How long to wait before each. Defaults to [`Backoff::Polynomial`].
    pub backoff: Backoff,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: Self::DEFAULT_RETRIES,
            backoff: Backoff::default(),
        }
    }
}

impl RetryPolicy {
    /// What `retries` is where nobody says otherwise.
    pub const DEFAULT_RETRIES: u32 = 10;
}

/// Where a job stood when its run ended.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// Attempts that had ended before this run.
    pub attempt: u32,
    /// The policy that holds for this job.
    pub policy: &'a RetryPolicy,
}

/// Decides what becomes of a job whose run ended with `outcome`. `luck`, from 0 to 1, is the share of
/// chance in a backoff.
pub fn decide(standing: &Standing<'_>, outcome: Outcome, luck: f64) -> Transition {
    match outcome {
        Outcome::Succeeded(Success { result, note }) => Transition::Succeed { result, note },
        Outcome::Failed(failure) => after_failure(standing, failure, luck),
        Outcome::Snoozed { delay } => Transition::Snooze {
            delay,
            reason: format!("Snoozed for {}", in_words(delay)),
        },
        Outcome::Expired { reason } => Transition::Delete { reason },
        Outcome::Released { reason } => Transition::Release { reason },
    }
}

fn after_failure(standing: &Standing<'_>, failure: Failure, luck: f64) -> Transition {
    let Failure {
        report,
        how,
        advice,
    } = failure;
    let RetryPolicy { retries, backoff } = standing.policy;
    let retry = standing.attempt + 1;
    let delay = match advice {
        Advice::GiveUp(reason) => {
            return Transition::Fail {
                reason,
                how,
                report,
            };
        }
        _ if retry > *retries => {
            let reason = used_up(*retries, report.headline());
            return Transition::Fail {
                reason,
                how,
                report,
            };
        }
        Advice::RetryAfter(delay) => delay,
        Advice::Policy => backoff.delay(retry, luck),
    };
    let when = in_words(delay);
    let reason = format!(
        "Retry {retry} of {retries} in {when}: {}",
        report.headline()
    );
    Transition::Retry {
        delay,
        reason,
        how,
        report,
    }
}

fn used_up(retries: u32, headline: &str) -> String {
    match retries {
        0 => format!("Failed, no retries: {headline}"),
        1 => format!("Failed after 1 retry: {headline}"),
        n => format!("Failed after {n} retries: {headline}"),
    }
}

/// A duration as people say it: `0 s`, `250 ms`, `38 s`, `10 min`, `1 h 5 min`, `3 d 4 h`.
pub fn in_words(time: Duration) -> String {
    let (secs, millis) = (time.as_secs(), time.subsec_millis());
    let two = |n: u64, unit: &str, m: u64, smaller: &str| match m {
        0 => format!("{n} {unit}"),
        m => format!("{n} {unit} {m} {smaller}"),
    };
    match secs {
        0 if millis > 0 => format!("{millis} ms"),
        0..60 => format!("{secs} s"),
        60..3_600 => two(secs / 60, "min", secs % 60, "s"),
        3_600..86_400 => two(secs / 3_600, "h", secs % 3_600 / 60, "min"),
        _ => two(secs / 86_400, "d", secs % 86_400 / 3_600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::job::{AttemptOutcome, ErrorReport};

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn policy(retries: u32, waits: &[Duration]) -> RetryPolicy {
        RetryPolicy {
            retries,
            backoff: Backoff::List(waits.to_vec().into()),
        }
    }

    fn failed(advice: Advice) -> Outcome {
        let report = ErrorReport::new("connection refused\nat line 3");
        Outcome::Failed(Failure {
            report,
            how: AttemptOutcome::Failed,
            advice,
        })
    }

    fn after(attempt: u32, policy: &RetryPolicy, outcome: Outcome) -> Transition {
        decide(&Standing { attempt, policy }, outcome, 0.0)
    }

    #[test]
    fn a_failure_is_retried_with_the_reason_in_words() {
        let Transition::Retry { delay, reason, .. } =
            after(1, &policy(5, &[secs(1), secs(38)]), failed(Advice::Policy))
        else {
            panic!("not retried")
        };
        assert_eq!(delay, secs(38));
        assert_eq!(reason, "Retry 2 of 5 in 38 s: connection refused");
    }

    #[test]
    fn the_default_is_ten_retries() {
        let policy = RetryPolicy::default();
        let retried = |attempt| {
            matches!(
                after(attempt, &policy, failed(Advice::Policy)),
                Transition::Retry { .. }
            )
        };
        assert!((0..10).all(retried));
        assert!(!retried(10));
    }

    #[test]
    fn retries_end() {
        for (retries, words) in [
            (0, "Failed, no retries: connection refused"),
            (1, "Failed after 1 retry: connection refused"),
            (2, "Failed after 2 retries: connection refused"),
        ] {
            let end = after(retries, &policy(retries, &[]), failed(Advice::Policy));
            let Transition::Fail { reason, .. } = end else {
                panic!("{end:?}")
            };
            assert_eq!(reason, words);
        }
    }

    #[test]
    fn the_error_may_say_when() {
        let end = after(
            0,
            &policy(3, &[secs(1)]),
            failed(Advice::RetryAfter(secs(600))),
        );
        let Transition::Retry { delay, reason, .. } = end else {
            panic!("{end:?}")
        };
        assert_eq!(delay, secs(600));
        assert_eq!(reason, "Retry 1 of 3 in 10 min: connection refused");
    }

    #[test]
    fn the_error_may_end_it() {
        let end = after(
            0,
            &policy(3, &[]),
            failed(Advice::GiveUp("Discarded: gone".into())),
        );
        assert!(matches!(end, Transition::Fail { reason, .. } if reason == "Discarded: gone"));
    }

    #[test]
    fn snooze_and_release_use_no_attempt() {
        let policy = policy(0, &[]);
        let end = after(0, &policy, Outcome::Snoozed { delay: secs(3_900) });
        assert!(
            matches!(end, Transition::Snooze { reason, .. } if reason == "Snoozed for 1 h 5 min")
        );
        let end = after(
            9,
            &policy,
            Outcome::Released {
                reason: "shutdown".into(),
            },
        );
        assert!(matches!(end, Transition::Release { .. }));
    }

    #[test]
    fn durations_read_well() {
        let words = [0, 38, 60, 125, 3_600, 90_000].map(|n| in_words(secs(n)));
        assert_eq!(
            words,
            ["0 s", "38 s", "1 min", "2 min 5 s", "1 h", "1 d 1 h"]
        );
        assert_eq!(in_words(Duration::from_millis(250)), "250 ms");
    }
}
