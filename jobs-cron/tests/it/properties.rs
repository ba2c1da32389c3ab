//! What holds for every schedule, tried on random ones.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::TZ_VARIANTS;
use jobs_cron::{Days, Schedule};

fn field(min: u32, max: u32) -> String {
    let value = || fastrand::u32(min..=max);
    match fastrand::u8(..8) {
        0..=2 => "*".into(),
        3 => format!("*/{}", fastrand::u32(1..=(max - min) / 2)),
        4 => format!("{}-{}", value(), value()),
        5 => format!("{},{},{}", value(), value(), value()),
        _ => value().to_string(),
    }
}

fn day() -> String {
    let value = || fastrand::u32(1..=28);
    match fastrand::u8(..12) {
        0 => "L".into(),
        1 => format!("L-{}", fastrand::u32(1..=20)),
        2 => format!("{}W", value()),
        3 => "LW".into(),
        4 => format!("L,{}", value()),
        5..=7 => field(1, 28),
        _ => "*".into(),
    }
}

fn weekday() -> String {
    let value = || fastrand::u32(0..=7);
    match fastrand::u8(..10) {
        0 => format!("{}L", value()),
        1 => format!("{}#{}", value(), fastrand::u32(1..=4)),
        2..=4 => field(0, 6),
        _ => "*".into(),
    }
}

fn random() -> Schedule {
    loop {
        let second = if fastrand::u8(..3) == 0 {
            field(0, 59)
        } else {
            "0".into()
        };
        let year = if fastrand::u8(..5) == 0 {
            field(1990, 2060)
        } else {
            "*".into()
        };
        let (minute, hour, month) = (field(0, 59), field(0, 23), field(1, 12));
        let text = format!(
            "{second} {minute} {hour} {} {month} {} {year}",
            day(),
            weekday()
        );
        let days = if fastrand::bool() {
            Days::Both
        } else {
            Days::Either
        };
        let tz = TZ_VARIANTS[fastrand::usize(..TZ_VARIANTS.len())];
        // Some combinations never happen, some years run backwards: those are refused, and others are drawn.
        if let Ok(schedule) = Schedule::builder(&text).tz(tz).days(days).build() {
            return schedule;
        }
    }
}

fn instant() -> DateTime<Utc> {
    let seconds = fastrand::i64(0..4_000_000_000);
    DateTime::from_timestamp(
        seconds,
        if fastrand::bool() {
            0
        } else {
            fastrand::u32(..1_000_000_000)
        },
    )
    .unwrap()
}

#[test]
fn next_is_later_and_previous_is_earlier_and_nothing_lies_between() {
    fastrand::seed(3);
    for _ in 0..3_000 {
        let schedule = random();
        let at = instant();
        let label = format!("{schedule} in {} at {at}", schedule.tz());
        let (next, previous) = (schedule.next_after(at), schedule.previous_before(at));
        assert!(next.is_none_or(|next| next > at), "{label}: {next:?}");
        assert!(
            previous.is_none_or(|previous| previous < at),
            "{label}: {previous:?}"
        );
        let just_before = at - TimeDelta::nanoseconds(1);
        if let Some(next) = next {
            // Going back from it leads to `at` or before it, and from there forward to it again.
            let back = schedule.previous_before(next);
            assert!(
                back.is_none_or(|back| back <= at),
                "{label}: {back:?} lies between"
            );
            if let Some(back) = back {
                assert_eq!(schedule.next_after(back), Some(next), "{label}");
            }
        }
        if let Some(previous) = previous {
            let forward = schedule.next_after(previous);
            assert!(
                forward.is_none_or(|forward| forward >= at),
                "{label}: {forward:?} lies between"
            );
            assert_eq!(
                schedule.next_after(previous - TimeDelta::nanoseconds(1)),
                Some(previous),
                "{label}"
            );
        }
        assert_eq!(
            schedule.next_after(just_before).filter(|next| *next > at),
            next.filter(|_| schedule.next_after(just_before) != Some(at)),
            "{label}"
        );
    }
}

#[test]
fn iteration_is_strictly_ascending_and_in_whole_seconds() {
    fastrand::seed(5);
    for _ in 0..600 {
        let schedule = random();
        let at = instant();
        let times: Vec<_> = schedule.upcoming(at).take(50).collect();
        assert!(
            times.windows(2).all(|pair| pair[0] < pair[1]),
            "{schedule} in {} from {at}",
            schedule.tz()
        );
        assert!(times.iter().all(|time| time.timestamp_subsec_nanos() == 0));
        let between: Vec<_> = times.last().map_or(Vec::new(), |last| {
            schedule.occurrences_between(times[0], *last).collect()
        });
        assert_eq!(between, times[..times.len().saturating_sub(1)]);
    }
}

#[test]
fn a_schedule_in_utc_gives_what_the_cron_crate_gives() {
    fastrand::seed(9);
    for _ in 0..1_000 {
        let (minute, hour, month) = (fastrand::u8(..60), fastrand::u8(..24), fastrand::u8(1..=12));
        let text = format!("{minute} {hour} * {month} *");
        let theirs: cron::Schedule = format!("0 {text}").parse().unwrap();
        let at = instant();
        let schedule = Schedule::parse(&text).unwrap();
        assert!(
            schedule
                .upcoming(at)
                .take(40)
                .eq(theirs.after(&at).take(40)),
            "{text} from {at}"
        );
    }
}
