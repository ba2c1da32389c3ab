//! How much a limit has left for one of its keys.

use sqlx::Row;

use jobs_core::job::Bound;

use super::Step;
use super::limit::{Line, window};
use crate::fault;

/// What a line has left. Weights are small, so tokens as floating-point numbers are exact enough.
pub(super) struct Room {
    max: f64,
    /// Whole weights for all but buckets, whose tokens come back little by little.
    left: f64,
    /// When something of it comes back by itself, and, of a bucket, how many tokens in a microsecond.
    back_at: Option<i64>,
    rate: Option<(i64, f64)>,
}

impl Room {
    /// Measures it now.
    pub(super) async fn measure(
        step: &mut Step<'_>,
        line: &Line,
        bound: &Bound,
    ) -> fault::Result<Self> {
        let since = match *bound {
            Bound::SlidingWindow { per, .. } => step.now.saturating_sub(window(per)) + 1,
            Bound::FixedWindow { per, .. } => step.now - step.now.rem_euclid(window(per)),
            // Starts do not count here: nobody holds anything who has ended, and tokens are gone already.
            _ => i64::MAX,
        };
        let used = step.queries.used.query();
        let used = used.bind(line.0.clone()).bind(line.1.clone()).bind(since);
        let row = used.fetch_one(&mut *step.tx).await?;
        let used: f64 = row.try_get::<i64, _>(0)? as f64;
        let first: Option<i64> = row.try_get(1)?;
        let max = f64::from(bound.capacity());
        let (mut left, mut rate) = (max - used, None);
        let back_at = match *bound {
            Bound::SlidingWindow { per, .. } => first.map(|at| at.saturating_add(window(per))),
            Bound::FixedWindow { per, .. } => first.map(|_| since.saturating_add(window(per))),
            Bound::TokenBucket { max, per, .. } => {
                let tokens = tokens(step, line, bound).await?;
                left = tokens - used;
                rate = Some((step.now, f64::from(max) / window(per) as f64));
                None
            }
            _ => None,
        };
        Ok(Self {
            max,
            left,
            back_at,
            rate,
        })
    }

    /// Takes tokens out of a bucket.
    pub(super) async fn spend(
        step: &mut Step<'_>,
        line: &Line,
        bound: &Bound,
        weight: u32,
    ) -> fault::Result<()> {
        if !matches!(bound, Bound::TokenBucket { .. }) {
            return Ok(());
        }
        let tokens = tokens(step, line, bound).await? - f64::from(weight);
        let spend = step.queries.bucket_set.query();
        let spend = spend.bind(line.0.clone()).bind(line.1.clone());
        spend
            .bind(tokens.max(0.0))
            .bind(step.now)
            .execute(&mut *step.tx)
            .await?;
        Ok(())
    }

    pub(super) fn has(&self, weight: u32) -> bool {
        // A token that is all but back counts, so that rounding makes nobody wait once more.
        self.left + 1e-6 >= f64::from(weight)
    }

    pub(super) fn take(&mut self, weight: u32) {
        self.left -= f64::from(weight);
    }

    /// When there may be room for this weight although nobody goes.
    pub(super) fn back_at(&self, weight: u32) -> Option<i64> {
        match self.rate {
            Some((now, rate)) => {
                let missing = f64::from(weight) - self.left;
                Some(now.saturating_add((missing / rate).ceil().max(1.0) as i64))
            }
            None => self.back_at,
        }
    }

    /// How much is in use.
    pub(super) fn used(&self) -> u64 {
        (self.max - self.left).max(0.0).ceil() as u64
    }
}

/// How many tokens a bucket has now.
async fn tokens(step: &mut Step<'_>, line: &Line, bound: &Bound) -> fault::Result<f64> {
    let Bound::TokenBucket { max, per, burst } = *bound else {
        return Ok(0.0);
    };
    let burst = f64::from(burst);
    let bucket = step.queries.bucket.query();
    let bucket = bucket.bind(line.0.clone()).bind(line.1.clone());
    let Some(row) = bucket.fetch_optional(&mut *step.tx).await? else {
        return Ok(burst);
    };
    let (had, at): (f64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let passed = step.now.saturating_sub(at).max(0) as f64;
    let back = passed * f64::from(max) / window(per) as f64;
    Ok((had + back).min(burst))
}
