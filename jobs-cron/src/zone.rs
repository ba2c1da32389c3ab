//! Time zone names, checked without time zone data.

use crate::error::{ParseError, Warning, cut, nearest};
use crate::zone_names::ZONES;

/// Names longer than this are refused unread; the longest known one has 32 bytes.
const MAX_LEN: usize = 64;

/// Abbreviations and Windows names that are no zone names, and a place that keeps the time they mean.
const NOT_NAMES: [(&str, &str); 12] = [
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("MDT", "America/Denver"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("EDT", "America/New_York"),
    ("BST", "Europe/London"),
    ("CEST", "Europe/Berlin"),
    ("EEST", "Europe/Helsinki"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("AEST", "Australia/Sydney"),
];

/// Whether a name is that of a time zone (the IANA names, in their own spelling).
///
/// # Errors
/// [`ParseError`] over the name, with the name that was probably meant.
pub fn check_zone(name: &str) -> Result<(), ParseError> {
    let error = |message: String| Err(ParseError::new(name, 0, name.len(), message));
    if entry(name).is_some() {
        return Ok(());
    }
    if name.len() > MAX_LEN {
        let shown = cut(name, MAX_LEN);
        return Err(ParseError::new(
            &shown,
            0,
            shown.len(),
            "this is no time zone: write one such as `Europe/Berlin`",
        ));
    }
    if name.trim().is_empty() {
        return error("a time zone is missing: write one such as `Europe/Berlin` or `UTC`".into());
    }
    if name.eq_ignore_ascii_case("local") {
        return error("there is no `local` time zone, since workers may run in several: name it, as in `Europe/Berlin`".into());
    }
    let bare = name.trim_start_matches("UTC").trim_start_matches("GMT");
    if bare.starts_with(['+', '-']) || bare.starts_with(|c: char| c.is_ascii_digit()) {
        return error(format!(
            "`{name}` is an offset, which does not follow clock changes: write a zone such as `Europe/Berlin`, or \
             `Etc/GMT-2` for a fixed offset of +02:00 (the sign is inverted)"
        ));
    }
    match meant(name) {
        Some(zone) => error(format!(
            "unknown time zone `{name}`, did you mean `{zone}`?"
        )),
        None => error(format!(
            "unknown time zone `{name}`: write an IANA name such as `Europe/Berlin` or `UTC`"
        )),
    }
}

/// All known time zone names, ascending.
pub fn zone_names() -> impl Iterator<Item = &'static str> {
    ZONES.iter().map(|(name, _, _)| *name)
}

/// The minutes of the day that clocks skip when they go forward in the coming years, if they do.
pub(crate) fn gap(name: &str) -> Option<(u16, u16)> {
    entry(name)
        .map(|(_, from, to)| (*from, *to))
        .filter(|(from, to)| from < to)
}

/// `Etc/GMT+2` is two hours *behind* UTC.
pub(crate) fn inverted(name: &str) -> Option<Warning> {
    let rest = name
        .strip_prefix("Etc/GMT")
        .filter(|rest| rest.len() > 1 && *rest != "-0" && *rest != "+0")?;
    let (sign, hours) = rest.split_at(1);
    let (other, side) = if sign == "+" {
        ("-", "behind")
    } else {
        ("+", "ahead of")
    };
    let message = format!(
        "`{name}` is {hours} hours {side} UTC, which is written {other}{hours:0>2}:00 elsewhere"
    );
    Some(Warning::new(name, 0, name.len(), message))
}

fn entry(name: &str) -> Option<&'static (&'static str, u16, u16)> {
    ZONES
        .binary_search_by(|(known, _, _)| (*known).cmp(name))
        .ok()
        .map(|index| &ZONES[index])
}

fn meant(name: &str) -> Option<&'static str> {
    let spelled = name.trim().replace(' ', "_");
    let other_case = zone_names().find(|zone| zone.eq_ignore_ascii_case(&spelled));
    let abbreviation = || {
        NOT_NAMES
            .iter()
            .find(|(short, _)| short.eq_ignore_ascii_case(&spelled))
            .map(|(_, zone)| *zone)
    };
    let city = |zone: &'static str| zone.rsplit('/').next().unwrap_or(zone);
    let by_city = || zone_names().find(|zone| city(zone).eq_ignore_ascii_case(&spelled));
    // A few capitals are an abbreviation, and the nearest of those is another one: no guess is better.
    let guess =
        |spelled: &str| spelled.len() > 4 || spelled.bytes().any(|b| b.is_ascii_lowercase());
    let near = || nearest(&spelled, zone_names()).filter(|_| guess(&spelled));
    let near_city = || {
        let city_name = nearest(&spelled, zone_names().map(city)).filter(|_| guess(&spelled))?;
        zone_names().find(|zone| city(zone) == city_name)
    };
    other_case
        .or_else(abbreviation)
        .or_else(by_city)
        .or_else(near)
        .or_else(near_city)
}

/// Holds the table in `zone_names.rs` equal to the data of `chrono-tz`.
#[cfg(all(test, feature = "times"))]
mod tests {
    use chrono::{DateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
    use chrono_tz::{TZ_VARIANTS, Tz};

    use super::ZONES;

    #[test]
    fn the_table_is_that_of_chrono_tz() {
        let mut expected: Vec<_> = TZ_VARIANTS
            .iter()
            .map(|tz| (tz.name(), skipped(*tz)))
            .collect();
        expected.sort_unstable();
        let rows: String = expected
            .iter()
            .map(|(name, (from, to))| format!("    (\"{name}\", {from}, {to}),\n"))
            .collect();
        if std::env::var_os("JOBS_CRON_WRITE_ZONES").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/zone_names.rs");
            std::fs::write(path, format!("{HEAD}{rows}];\n")).unwrap();
            return;
        }
        let known: String = ZONES
            .iter()
            .map(|(name, from, to)| format!("    (\"{name}\", {from}, {to}),\n"))
            .collect();
        assert!(
            known == rows,
            "the time zone data changed: run the tests of jobs-cron once with JOBS_CRON_WRITE_ZONES=1"
        );
    }

    const HEAD: &str = "\
//! Over 400 lines, since it is a table: the time zones of chrono-tz, so that a name can be checked without its data.
//!
//! Ascending by name; with each, the minutes of the day that clocks skip in spring in the years from 2026 to 2036
//! (from, to; 0, 0 when they skip none). Written by a test in `zone.rs`, which also holds it equal.

#[rustfmt::skip]
pub(crate) const ZONES: &[(&str, u16, u16)] = &[
";

    /// The hull of the minutes that are skipped, over ten years.
    fn skipped(tz: Tz) -> (u16, u16) {
        let offset = |at: DateTime<Utc>| {
            tz.offset_from_utc_datetime(&at.naive_utc())
                .fix()
                .local_minus_utc()
        };
        let mut hull: Option<(u16, u16)> = None;
        let mut day: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let end: DateTime<Utc> = "2037-01-01T00:00:00Z".parse().unwrap();
        while day < end {
            let next = day + TimeDelta::days(1);
            let (before, after) = (offset(day), offset(next));
            if after > before {
                let seconds = (0..86_400).collect::<Vec<i64>>();
                let change = seconds
                    .partition_point(|s| offset(day + TimeDelta::seconds(*s)) == before)
                    as i64;
                let start = day + TimeDelta::seconds(change + i64::from(before));
                let from = (start.hour() * 60 + start.minute()) as u16;
                let to = from + ((after - before) / 60) as u16;
                hull = Some(hull.map_or((from, to), |(f, t)| (f.min(from), t.max(to))));
            }
            day = next;
        }
        hull.unwrap_or((0, 0))
    }
}
