//! The table of medians.

use std::fmt::Write;

use serde_json::Value;

use crate::row::median;

/// What is shown beside the value, where a row has it.
const COSTS: [(&str, &str); 9] = [
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("wal_bytes_per_job", "WAL bytes per job"),
    ("commits_per_job", "commits per job"),
    ("cpu_own_us_per_job", "own CPU µs per job"),
    ("cpu_server_us_per_job", "server CPU µs per job"),
    ("own_cpu_percent", "own CPU %"),
    ("server_cpu_percent", "server CPU %"),
    ("peak_memory_mib", "peak MiB"),
];

/// What only some workloads have.
const FURTHER: [&str; 7] = [
    "seal_seconds",
    "drain_per_s",
    "callback_after_ms",
    "peak_mib_stored",
    "all_started_ms",
    "cpu_percent_without",
    "memory_mib",
];

/// Workloads whose figure means something beside that of another.
const COMPARED: [(&str, &str); 6] = [
    ("drain_large_args", "drain"),
    ("drain_kinds", "drain"),
    ("drain_backlog", "drain"),
    ("drain_beside_scheduled", "drain"),
    ("drain_beside_blocked", "drain"),
    ("drain_held", "drain_unheld"),
];

/// Figures that ought to be absent.
const ODDITIES: [&str; 7] = [
    "more_at_once_than_2",
    "capped",
    "repeated_runs",
    "never_ran",
    "not_succeeded",
    "backlog_at_end",
    "no_start_in_10_s",
];

/// One line for each workload and storage: the median, the smallest and the greatest value, and the
/// medians of what it cost. With two builds also the other's, and the median of the pairs' ratios.
pub(crate) fn table(rows: &[Value]) -> String {
    let mut keys: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        let key = (text(row, "workload"), text(row, "storage"));
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let two = rows.iter().any(|row| text(row, "build") == "other");
    let mut out = String::from("| workload | storage | median | unit | range | runs |");
    out += if two {
        " other build | this / other |"
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "{}",
        COSTS.map(|(_, title)| format!(" {title} |")).concat()
    );
    let columns = 6 + COSTS.len() + if two { 2 } else { 0 };
    let _ = writeln!(out, "|---|---|{}", "---:|".repeat(columns - 2));
    for &(workload, storage) in &keys {
        line(&mut out, rows, workload, storage, two);
    }
    further(&mut out, rows, &keys);
    compared(&mut out, rows, &keys);
    oddities(&mut out, rows);
    out
}

/// The rows of one workload, storage and build that hold a value.
fn of<'r>(rows: &'r [Value], workload: &str, storage: &str, build: &str) -> Vec<&'r Value> {
    rows.iter()
        .filter(|row| text(row, "workload") == workload && text(row, "storage") == storage)
        .filter(|row| text(row, "build") == build && row["value"].is_number())
        .collect()
}

fn line(out: &mut String, rows: &[Value], workload: &str, storage: &str, two: bool) {
    let of = |build: &str| of(rows, workload, storage, build);
    let (these, others) = (of("this"), of("other"));
    let values = |rows: &[&Value]| -> Vec<f64> {
        rows.iter()
            .filter_map(|row| row["value"].as_f64())
            .collect()
    };
    let unit = these.first().map_or("", |row| text(row, "unit"));
    let (low, high) = values(&these)
        .into_iter()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), v| {
            (low.min(v), high.max(v))
        });
    let _ = write!(
        out,
        "| {workload} | {storage} | {} | {unit} | {} to {} | {} |",
        number(median(values(&these))),
        number(Some(low)),
        number(Some(high)),
        these.len(),
    );
    if two {
        let ratios = values(&these).into_iter().zip(values(&others));
        let ratios = ratios.map(|(this, other)| this / other).collect();
        let ratio = median(ratios).map_or("–".into(), |ratio| format!("{ratio:.3}"));
        let _ = write!(out, " {} | {ratio} |", number(median(values(&others))));
    }
    for (key, _) in COSTS {
        let costs = these.iter().filter_map(|row| row["extra"][key].as_f64());
        let _ = write!(out, " {} |", number(median(costs.collect())));
    }
    out.push('\n');
}

/// The medians of what only some workloads have, with those of the other build.
fn further(out: &mut String, rows: &[Value], keys: &[(&str, &str)]) {
    for (workload, storage) in keys {
        for key in FURTHER {
            let median = |build: &str| {
                let rows = of(rows, workload, storage, build);
                median(
                    rows.iter()
                        .filter_map(|row| row["extra"][key].as_f64())
                        .collect(),
                )
            };
            if let Some(this) = median("this") {
                let this = number(Some(this));
                let _ = write!(out, "\n- {storage} {workload}: {key} {this}");
                if let Some(other) = median("other") {
                    let _ = write!(out, " (other build: {})", number(Some(other)));
                }
            }
        }
    }
}

/// Medians of this build beside each other.
fn compared(out: &mut String, rows: &[Value], keys: &[(&str, &str)]) {
    for &(workload, storage) in keys {
        let with = COMPARED.iter().find(|(this, _)| *this == workload);
        let Some(&(_, with)) = with else { continue };
        let median = |workload: &str| {
            let rows = of(rows, workload, storage, "this");
            median(
                rows.iter()
                    .filter_map(|row| row["value"].as_f64())
                    .collect(),
            )
        };
        if let (Some(this), Some(with_it)) = (median(workload), median(with)) {
            let ratio = this / with_it;
            let _ = write!(out, "\n- {storage} {workload} / {with}: {ratio:.3}");
        }
    }
}

fn oddities(out: &mut String, rows: &[Value]) {
    for row in rows {
        let what = || {
            format!(
                "{} {} run {}",
                text(row, "storage"),
                text(row, "workload"),
                row["run"]
            )
        };
        if let Some(error) = row["error"].as_str() {
            let _ = write!(out, "\n- {}: {error}", what());
        }
        for key in ODDITIES {
            if let Some(value) = row["extra"].get(key) {
                let _ = write!(out, "\n- {}: {key} {value}", what());
            }
        }
    }
}

fn text<'r>(row: &'r Value, key: &str) -> &'r str {
    row[key].as_str().unwrap_or("")
}

/// A number with as many digits as mean something; thousands are grouped.
fn number(value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return "–".into();
    };
    if value < 100.0 {
        let text = format!("{value:.3}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        return text.into();
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        let row = |build: &str, run: u64, value: f64| {
            json!({"workload": "drain", "storage": "memory", "build": build, "run": run,
                   "value": value, "unit": "jobs/s", "extra": {}})
        };
        let rows = [
            row("this", 1, 200.0),
            row("other", 1, 100.0),
            row("this", 2, 1000.0),
            row("other", 2, 500.0),
        ];
        let table = table(&rows);
        assert!(
            table.contains("| drain | memory | 600 | jobs/s | 200 to 1,000 | 2 | 300 | 2.000 |"),
            "{table}"
        );
    }

    #[test]
    fn workloads_are_compared_within_a_storage() {
        let row = |workload: &str, storage: &str, value: f64| {
            json!({"workload": workload, "storage": storage, "build": "this", "run": 1,
                   "value": value, "unit": "jobs/s", "extra": {"seal_seconds": 1.5}})
        };
        let rows = [
            row("drain", "sqlite", 1.0),
            row("drain", "memory", 200.0),
            row("drain_kinds", "memory", 150.0),
        ];
        let table = table(&rows);
        assert!(
            table.contains("memory drain_kinds / drain: 0.750"),
            "{table}"
        );
        assert!(table.contains("sqlite drain: seal_seconds 1.5"), "{table}");
        assert!(!table.contains("sqlite drain_kinds"), "{table}");
    }

    #[test]
    fn what_is_wrong_is_listed() {
        let row = json!({"workload": "drain", "storage": "memory", "build": "this", "run": 1,
                         "value": 1.0, "unit": "jobs/s", "extra": {"never_ran": 3}});
        assert!(table(&[row]).contains("memory drain run 1: never_ran 3"));
    }
}
