//! Some hundred schedules over two years each, in zones whose clocks change, against brute force: the clocks
//! are read every half hour, and whether that is a time of the schedule is decided day by day, by another
//! hand than the crate's.

use std::collections::HashSet;

use chrono::{
    DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc, Weekday,
};
use jobs_cron::{Days, Schedule, Tz};

const ZONES: [Tz; 12] = [
    Tz::UTC,
    Tz::Europe__Berlin,
    Tz::Europe__London,
    Tz::America__New_York,
    Tz::America__Sao_Paulo,
    Tz::Australia__Lord_Howe,
    Tz::Australia__Adelaide,
    Tz::Antarctica__Troll,
    Tz::Africa__Cairo,
    Tz::Asia__Kolkata,
    Tz::Asia__Tehran,
    Tz::Pacific__Auckland,
];

/// How many schedules are tried in each zone.
const EACH: usize = 25;

/// One way to say which values are meant.
#[derive(Clone, Debug)]
enum Item {
    One(u32),
    Range(u32, u32),
    Step(u32),
    /// `L-n`; `L` for 0.
    FromLast(u32),
    /// `nW`
    Nearest(u32),
    /// `LW`
    LastWorkday,
    /// `nL`
    LastOf(u32),
    /// `n#k`
    Nth(u32, u32),
}

/// A field; all values if it says nothing.
type Field = Vec<Item>;

fn text(field: &Field) -> String {
    let item = |item: &Item| match item {
        Item::One(n) => n.to_string(),
        Item::Range(from, to) => format!("{from}-{to}"),
        Item::Step(n) => format!("*/{n}"),
        Item::FromLast(0) => "L".into(),
        Item::FromLast(n) => format!("L-{n}"),
        Item::Nearest(n) => format!("{n}W"),
        Item::LastWorkday => "LW".into(),
        Item::LastOf(n) => format!("{n}L"),
        Item::Nth(n, k) => format!("{n}#{k}"),
    };
    let items: Vec<_> = field.iter().map(item).collect();
    match &items[..] {
        [] => "*".into(),
        items => items.join(","),
    }
}

/// Plain values only: which of them, with `min` the first there is.
fn has(field: &Field, value: u32, min: u32) -> bool {
    let one = |item: &Item| match *item {
        Item::One(n) => n == value,
        Item::Range(from, to) => (from..=to).contains(&value),
        Item::Step(n) => (value - min).is_multiple_of(n),
        _ => false,
    };
    field.is_empty() || field.iter().any(one)
}

fn days_of_month(date: NaiveDate) -> impl DoubleEndedIterator<Item = NaiveDate> {
    (1..=31).filter_map(move |day| date.with_day(day))
}

fn is_workday(date: &NaiveDate) -> bool {
    !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

fn is_day(item: &Item, date: NaiveDate) -> bool {
    let mut all = days_of_month(date);
    let found = match *item {
        Item::FromLast(n) => all.rev().nth(n as usize),
        Item::LastWorkday => all.rfind(is_workday),
        Item::Nearest(n) => date.with_day(n).and_then(|near| {
            let distance = |day: &NaiveDate| (*day - near).num_days().abs();
            all.filter(is_workday).min_by_key(distance)
        }),
        _ => return has(&vec![item.clone()], date.day(), 1),
    };
    found == Some(date)
}

fn is_weekday(item: &Item, date: NaiveDate) -> bool {
    let number = |date: &NaiveDate| date.weekday().num_days_from_sunday();
    let mut same = days_of_month(date).filter(|day| number(day) == number(&date));
    match *item {
        Item::LastOf(n) => n == number(&date) && same.next_back() == Some(date),
        Item::Nth(n, k) => n == number(&date) && same.nth(k as usize - 1) == Some(date),
        _ => has(&vec![item.clone()], number(&date), 0),
    }
}

#[derive(Debug)]
struct Wanted {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
    year: Field,
    days: Days,
}

impl Wanted {
    fn random() -> Self {
        let number = |min, max| fastrand::u32(min..=max);
        let plain = |min: u32, max: u32| -> Field {
            match fastrand::u8(..8) {
                0..3 => vec![],
                3 => vec![Item::Step(number(2, (max - min) / 2))],
                4 => {
                    let from = number(min, max - 1);
                    vec![Item::Range(from, number(from + 1, max))]
                }
                5 => vec![Item::One(number(min, max)), Item::One(number(min, max))],
                _ => vec![Item::One(number(min, max))],
            }
        };
        let minute = match fastrand::u8(..4) {
            0 => vec![Item::One(0)],
            1 => vec![Item::One(30)],
            2 => vec![Item::One(0), Item::One(30)],
            _ => vec![Item::Step(30)],
        };
        let day = match fastrand::u8(..12) {
            0 => vec![Item::FromLast(0)],
            1 => vec![Item::FromLast(number(1, 30))],
            2 => vec![Item::Nearest(number(1, 31))],
            3 => vec![Item::LastWorkday],
            4 => vec![Item::FromLast(0), Item::One(number(1, 31))],
            5..9 => plain(1, 31),
            _ => vec![],
        };
        let weekday = match fastrand::u8(..10) {
            0 => vec![Item::LastOf(number(0, 6))],
            1 => vec![Item::Nth(number(0, 6), number(1, 5))],
            2..5 => plain(0, 6),
            _ => vec![],
        };
        Self {
            minute,
            hour: plain(0, 23),
            day,
            month: plain(1, 12),
            weekday,
            year: vec![],
            days: match fastrand::bool() {
                true => Days::Both,
                false => Days::Either,
            },
        }
    }

    fn text(&self) -> String {
        let fields = [
            &self.minute,
            &self.hour,
            &self.day,
            &self.month,
            &self.weekday,
            &self.year,
        ];
        let fields: Vec<_> = fields.into_iter().map(text).collect();
        format!("0 {}", fields.join(" "))
    }

    /// Whether it repeats within the day, which makes it run in both passes of a repeated hour.
    fn is_interval(&self) -> bool {
        let repeats = |field: &Field| text(field).contains(['*', '-', '/']);
        repeats(&self.minute) || repeats(&self.hour)
    }

    fn is_on(&self, date: NaiveDate) -> bool {
        let by_day = self.day.iter().any(|item| is_day(item, date));
        let by_weekday = self.weekday.iter().any(|item| is_weekday(item, date));
        let day = match (self.day.is_empty(), self.weekday.is_empty()) {
            (true, true) => true,
            (false, true) => by_day,
            (true, false) => by_weekday,
            (false, false) if self.days == Days::Both => by_day && by_weekday,
            (false, false) => by_day || by_weekday,
        };
        day && has(&self.month, date.month(), 1) && has(&self.year, date.year() as u32, 0)
    }

    /// By the dates on which it runs.
    fn is_at(&self, local: NaiveDateTime, on: &HashSet<NaiveDate>) -> bool {
        on.contains(&local.date())
            && has(&self.minute, local.minute(), 0)
            && has(&self.hour, local.hour(), 0)
    }
}

/// What the clocks of a zone show at an instant.
struct Shown {
    at: DateTime<Utc>,
    local: NaiveDateTime,
    /// What they should have shown since half an hour before, and did not.
    skipped: Vec<NaiveDateTime>,
    /// Whether they have shown it before.
    again: bool,
}

const TICK: TimeDelta = TimeDelta::minutes(30);

fn watch(tz: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Shown> {
    let clock = |at: DateTime<Utc>| tz.from_utc_datetime(&at.naive_utc()).naive_local();
    let mut last = clock(from - TICK);
    let mut all = Vec::new();
    let mut at = from;
    while at < until {
        let local = clock(at);
        let missing = std::iter::successors(Some(last + TICK), |shown| Some(*shown + TICK));
        all.push(Shown {
            at,
            local,
            skipped: missing.take_while(|shown| *shown < local).collect(),
            again: local <= last,
        });
        last = last.max(local);
        at += TICK;
    }
    all
}

fn by_brute_force(wanted: &Wanted, clocks: &[Shown]) -> Vec<DateTime<Utc>> {
    let is_interval = wanted.is_interval();
    let mut dates: Vec<_> = clocks.iter().map(|shown| shown.local.date()).collect();
    let skipped = clocks.iter().flat_map(|shown| &shown.skipped);
    dates.extend(skipped.map(|local| local.date()));
    dates.dedup();
    let on = dates.into_iter().filter(|date| wanted.is_on(*date));
    let on: HashSet<NaiveDate> = on.collect();
    let occurs = |shown: &&Shown| {
        let counts = is_interval || !shown.again;
        let in_gap = shown.skipped.iter().any(|local| wanted.is_at(*local, &on));
        in_gap || (counts && wanted.is_at(shown.local, &on))
    };
    let found = clocks.iter().filter(occurs);
    found.map(|shown| shown.at).collect()
}

#[test]
fn over_two_years_of_any_schedule() {
    fastrand::seed(29);
    let (mut occurrences, mut empty) = (0, 0);
    for tz in ZONES {
        let year = fastrand::i32(1985..=2034);
        let start = |year| Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap();
        let (from, until) = (start(year), start(year + 2));
        let clocks = watch(tz, from, until);
        for _ in 0..EACH {
            let mut wanted = Wanted::random();
            if fastrand::u8(..5) == 0 {
                wanted.year = vec![Item::One(year as u32)];
            }
            let text = wanted.text();
            let built = Schedule::builder(&text).tz(tz).days(wanted.days).build();
            let expected = by_brute_force(&wanted, &clocks);
            let Ok(schedule) = built else {
                assert!(expected.is_empty(), "{text} occurs, and cannot be read");
                empty += 1;
                continue;
            };
            let what = format!("{text} ({}) in {tz} from {year}", wanted.days.as_str());
            agrees(&schedule, from, until, &expected, &what);
            occurrences += expected.len();
            empty += usize::from(expected.is_empty());
        }
    }
    // It is worth something only if most of them occur.
    assert!(occurrences > 50_000, "{occurrences} occurrences");
    assert!(empty < ZONES.len() * EACH / 5, "{empty} never occur");
}

/// Forwards, backwards, and from anywhere.
#[track_caller]
fn agrees(
    schedule: &Schedule,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    expected: &[DateTime<Utc>],
    what: &str,
) {
    let forward: Vec<_> = schedule.occurrences_between(from, until).collect();
    assert_eq!(forward, expected, "{what}");
    let before = |at: &DateTime<Utc>| schedule.previous_before(*at);
    let back = std::iter::successors(schedule.previous_before(until), before);
    let mut back: Vec<_> = back.take_while(|at| *at >= from).collect();
    back.reverse();
    assert_eq!(back, expected, "{what}, backwards");
    let seconds = (until - from).num_seconds();
    for _ in 0..20 {
        let at = from + TimeDelta::seconds(fastrand::i64(0..seconds));
        let place = expected.partition_point(|occurrence| *occurrence <= at);
        if let Some(next) = expected.get(place) {
            assert_eq!(schedule.next_after(at), Some(*next), "{what}: after {at}");
        }
        let place = expected.partition_point(|occurrence| *occurrence < at);
        if let Some(last) = place.checked_sub(1) {
            let last = Some(expected[last]);
            assert_eq!(schedule.previous_before(at), last, "{what}: before {at}");
        }
    }
}
