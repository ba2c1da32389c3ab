//! Brute force: every instant is asked what the clocks show, and whether that is a time of the schedule.

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::TZ_VARIANTS;
use jobs_cron::{Schedule, Tz};

/// Plain fields, read by another hand than the crate's.
struct Fields {
    interval: bool,
    sets: Vec<Vec<u32>>,
}

impl Fields {
    /// Seconds, minute, hour, day, month, weekday: `*`, `*/n`, `a-b`, `a-b/n` and lists of values.
    fn read(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        let words = if words.len() == 5 {
            [vec!["0"], words].concat()
        } else {
            words
        };
        let limits = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
        let sets = words
            .iter()
            .zip(limits)
            .map(|(word, limit)| Self::set(word, limit))
            .collect();
        Self {
            interval: words[..3].iter().any(|word| word.contains(['*', '-', '/'])),
            sets,
        }
    }

    fn set(word: &str, (min, max): (u32, u32)) -> Vec<u32> {
        let item = |item: &str| -> Vec<u32> {
            let (range, step) = item.split_once('/').unwrap_or((item, "1"));
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (min, max),
                Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
                None => (range.parse().unwrap(), range.parse().unwrap()),
            };
            (from..=to).step_by(step.parse().unwrap()).collect()
        };
        word.split(',').flat_map(item).collect()
    }

    fn match_at(&self, local: NaiveDateTime) -> bool {
        let parts = [
            local.second(),
            local.minute(),
            local.hour(),
            local.day(),
            local.month(),
            local.weekday().num_days_from_sunday(),
        ];
        self.sets
            .iter()
            .zip(parts)
            .all(|(set, part)| set.contains(&part))
    }
}

/// The occurrences of a window, found by looking at the clocks every `tick` seconds.
fn by_brute_force(
    text: &str,
    tz: Tz,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    tick: i64,
) -> Vec<DateTime<Utc>> {
    let fields = Fields::read(text);
    let local = |at: DateTime<Utc>| tz.from_utc_datetime(&at.naive_utc()).naive_local();
    let tick = TimeDelta::seconds(tick);
    // What clocks have shown before, to tell a second pass from a first one.
    let mut shown = local(from - tick);
    let mut found = Vec::new();
    let mut at = from;
    while at < until {
        let now = local(at);
        let mut skipped = shown + tick;
        let mut in_gap = false;
        while skipped < now {
            in_gap |= fields.match_at(skipped);
            skipped += tick;
        }
        let repeated = now <= shown;
        if in_gap || (fields.match_at(now) && (fields.interval || !repeated)) {
            found.push(at);
        }
        shown = shown.max(now);
        at += tick;
    }
    found
}

#[track_caller]
fn agrees(text: &str, tz: Tz, from: DateTime<Utc>, until: DateTime<Utc>, tick: i64) {
    let schedule = Schedule::builder(text).tz(tz).build().unwrap();
    let expected = by_brute_force(text, tz, from, until, tick);
    let forward: Vec<_> = schedule.occurrences_between(from, until).collect();
    assert_eq!(forward, expected, "{text} in {tz} from {from}");
    let mut back: Vec<_> = std::iter::successors(schedule.previous_before(until), |at| {
        schedule.previous_before(*at)
    })
    .take_while(|at| *at >= from)
    .collect();
    back.reverse();
    assert_eq!(back, expected, "{text} in {tz} back from {until}");
}

/// Asks from every instant of a window, as a scheduler that remembers nothing does.
#[track_caller]
fn agrees_from_anywhere(text: &str, tz: Tz, from: DateTime<Utc>, until: DateTime<Utc>, tick: i64) {
    let schedule = Schedule::builder(text).tz(tz).build().unwrap();
    let margin = TimeDelta::days(4);
    let all = by_brute_force(text, tz, from - margin, until + margin, tick);
    let mut at = from;
    while at < until {
        let next = all.iter().find(|occurrence| **occurrence > at).copied();
        let previous = all
            .iter()
            .rev()
            .find(|occurrence| **occurrence < at)
            .copied();
        assert_eq!(
            schedule.next_after(at),
            next,
            "{text} in {tz}: next after {at}"
        );
        assert_eq!(
            schedule.previous_before(at),
            previous,
            "{text} in {tz}: previous before {at}"
        );
        // Between whole seconds, the same but for an occurrence that is just over.
        let later = at + TimeDelta::milliseconds(1);
        assert_eq!(
            schedule.next_after(later),
            next,
            "{text} in {tz}: next after {later}"
        );
        at += TimeDelta::seconds(tick);
    }
}

const TEXTS: [&str; 14] = [
    "*/20 * * * *",
    "*/7 * * * *",
    "5-59/10 * * * *",
    "* * * * *",
    "30 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "0,15,45 0,1,2,3,23 * * *",
    "0 0 * * *",
    "0 3 * * *",
    "59 23 * * *",
    "*/15 1-3 * * *",
    "10 1-2 * * 0",
    "45 2 1-31 * *",
];

/// Zone, and an instant shortly before a change of its clocks.
const CHANGES: [(Tz, &str); 20] = [
    (Tz::Europe__Berlin, "2027-03-27T23:00:00Z"),
    (Tz::Europe__Berlin, "2027-10-30T22:00:00Z"),
    (Tz::America__New_York, "2026-03-08T05:00:00Z"),
    (Tz::America__New_York, "2026-11-01T04:00:00Z"),
    (Tz::America__Sao_Paulo, "2018-11-04T01:00:00Z"),
    (Tz::America__Sao_Paulo, "2018-02-18T00:00:00Z"),
    (Tz::Australia__Lord_Howe, "2026-10-03T13:00:00Z"),
    (Tz::Australia__Lord_Howe, "2026-04-04T13:00:00Z"),
    (Tz::Antarctica__Troll, "2026-03-28T23:00:00Z"),
    (Tz::Antarctica__Troll, "2026-10-24T23:00:00Z"),
    (Tz::Africa__Casablanca, "2026-02-15T00:00:00Z"),
    (Tz::Africa__Casablanca, "2026-03-22T00:00:00Z"),
    (Tz::Africa__Cairo, "2026-04-23T20:00:00Z"),
    (Tz::Africa__Cairo, "2026-10-29T19:00:00Z"),
    (Tz::America__St_Johns, "2010-03-14T02:00:00Z"),
    (Tz::America__St_Johns, "2010-11-07T01:00:00Z"),
    (Tz::Pacific__Apia, "2011-12-30T08:00:00Z"),
    (Tz::America__Nuuk, "2026-03-28T23:00:00Z"),
    (Tz::America__Nuuk, "2026-10-24T23:00:00Z"),
    (Tz::Europe__Dublin, "2026-10-24T23:00:00Z"),
];

#[test]
fn over_clock_changes_of_every_kind() {
    for (tz, before) in CHANGES {
        let before: DateTime<Utc> = before.parse().unwrap();
        for text in TEXTS {
            agrees(
                text,
                tz,
                before - TimeDelta::days(1),
                before + TimeDelta::days(2),
                60,
            );
        }
    }
}

#[test]
fn from_every_minute_around_a_change() {
    for (tz, before) in CHANGES {
        let before: DateTime<Utc> = before.parse().unwrap();
        for text in [
            "*/20 * * * *",
            "5-59/10 * * * *",
            "30 2 * * *",
            "0,15,45 0,1,2,3,23 * * *",
            "10 1-2 * * *",
        ] {
            agrees_from_anywhere(text, tz, before, before + TimeDelta::hours(5), 60);
        }
    }
}

#[test]
fn to_the_second() {
    for (tz, before) in [
        (Tz::Europe__Berlin, "2027-10-30T23:58:00Z"),
        (Tz::Europe__Berlin, "2027-03-28T00:58:00Z"),
    ] {
        let before: DateTime<Utc> = before.parse().unwrap();
        for text in ["*/7 * * * * *", "30 */30 * * * *", "15,45 30 2 * * *"] {
            agrees(text, tz, before, before + TimeDelta::hours(3), 1);
        }
    }
}

#[test]
fn liberia_changed_its_clocks_by_odd_seconds() {
    // 1972-01-07 00:00 local, from -00:44:30 to 00:00: the wall clock skipped to 00:44:30.
    let before: DateTime<Utc> = "1972-01-06T22:00:00Z".parse().unwrap();
    for text in ["0 0 * * *", "*/10 * * * *", "0 1 * * *"] {
        agrees(
            text,
            Tz::Africa__Monrovia,
            before,
            before + TimeDelta::hours(6),
            30,
        );
    }
}

#[test]
fn over_changes_of_all_zones() {
    fastrand::seed(11);
    let mut checked = 0;
    for tz in TZ_VARIANTS {
        let offset = |at: DateTime<Utc>| tz.offset_from_utc_datetime(&at.naive_utc()).fix();
        // A random year of each zone; every change in it.
        let year = fastrand::i32(1971..=2037);
        let mut day = Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap();
        for _ in 0..365 {
            let next = day + TimeDelta::days(1);
            let minutes: Vec<i64> = (0..1440).collect();
            if offset(day) != offset(next) && offset(day).local_minus_utc() % 60 == 0 {
                let change = minutes
                    .partition_point(|m| offset(day + TimeDelta::minutes(*m)) == offset(day));
                let tick = if change % 5 == 0 { 300 } else { 60 };
                for text in ["*/20 * * * *", "0,30 0,1,2,3,23 * * *"] {
                    agrees(
                        text,
                        tz,
                        day - TimeDelta::hours(12),
                        next + TimeDelta::hours(36),
                        tick,
                    );
                }
                checked += 1;
            }
            day = next;
        }
    }
    assert!(checked > 300, "{checked}");
}
