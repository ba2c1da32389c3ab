//! What one run found out: one line of JSON.

use serde_json::{Map, Value, json};

/// What a workload measured.
pub(crate) struct Measured {
    /// How many jobs took part.
    pub(crate) jobs: u64,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What else is known: costs, percentiles, and everything that is not as it should be.
    pub(crate) extra: Map<String, Value>,
}

impl Measured {
    /// A rate.
    pub(crate) fn rate(jobs: u64, seconds: f64, extra: Map<String, Value>) -> Self {
        Self {
            jobs,
            value: jobs as f64 / seconds,
            unit: "jobs/s",
            extra,
        }
    }

    pub(crate) fn to_json(&self, storage: &str, workload: &str) -> Value {
        json!({
            "storage": storage,
            "workload": workload,
            "jobs": self.jobs,
            "value": round(self.value),
            "unit": self.unit,
            "extra": self.extra,
        })
    }
}

/// As many digits as mean something.
pub(crate) fn round(x: f64) -> f64 {
    match x.abs() {
        100.0.. => x.round(),
        _ => (x * 1000.0).round() / 1000.0,
    }
}

/// Sets percentiles of times in milliseconds; answers the median.
pub(crate) fn percentiles(mut times: Vec<f64>, extra: &mut Map<String, Value>) -> f64 {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| match times.len() {
        0 => f64::NAN,
        len => times[((len as f64 * share).ceil() as usize).clamp(1, len) - 1],
    };
    for (name, share) in [
        ("p50_ms", 0.5),
        ("p95_ms", 0.95),
        ("p99_ms", 0.99),
        ("max_ms", 1.0),
    ] {
        extra.insert(name.into(), json!(round(at(share))));
    }
    at(0.5)
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut extra = Map::new();
        let times = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentiles(times, &mut extra), 50.0);
        assert_eq!(extra["p99_ms"], 99.0);
        assert_eq!(extra["max_ms"], 100.0);
    }
}
