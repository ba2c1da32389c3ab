//! One field of a schedule: lists, ranges, steps, names, and the rules `L`, `W` and `#`.

use crate::days::{MonthDay, MonthWeekday};
use crate::error::{ParseError, nearest};
use crate::unit::Unit;
use crate::values::Values;

/// A word of the text and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'a> {
    /// The whole schedule, for errors.
    pub(crate) source: &'a str,
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

impl<'a> Word<'a> {
    pub(crate) fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(self.source, self.at, self.text.len(), message)
    }

    /// The words between separators, each where it stands.
    fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(separator).map(move |text| {
            let word = Self { text, at, ..self };
            at += text.len() + 1;
            word
        })
    }

    fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let (left, right) = self.text.split_once(separator)?;
        let at = self.at + left.len() + 1;
        Some((
            Self { text: left, ..self },
            Self {
                text: right,
                at,
                ..self
            },
        ))
    }

    fn without_last(self) -> Self {
        Self {
            text: &self.text[..self.text.len() - 1],
            ..self
        }
    }
}

/// A field as it was read.
#[derive(Debug)]
pub(crate) struct Field<'a> {
    pub(crate) unit: Unit,
    pub(crate) word: Word<'a>,
    /// In the order they were written; a value may come twice.
    pub(crate) values: Vec<u16>,
    pub(crate) month_days: Vec<MonthDay>,
    pub(crate) weekdays: Vec<MonthWeekday>,
    pub(crate) has_star: bool,
    pub(crate) has_range: bool,
    /// Each step that is not 1, and its item.
    pub(crate) steps: Vec<(u16, Word<'a>)>,
    /// Each range that goes past the end and on from the start.
    pub(crate) reversed: Vec<Word<'a>>,
}

impl<'a> Field<'a> {
    pub(crate) fn parse(unit: Unit, word: Word<'a>) -> Result<Self, ParseError> {
        let mut field = Self {
            unit,
            word,
            values: Vec::new(),
            month_days: Vec::new(),
            weekdays: Vec::new(),
            has_star: false,
            has_range: false,
            steps: Vec::new(),
            reversed: Vec::new(),
        };
        for item in word.split(',') {
            field.item(item)?;
        }
        Ok(field)
    }

    /// Whether the field lets everything through: `*`, `?` or `*/1`, not a range that happens to hold every value.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.word.text, "*" | "?" | "*/1")
    }

    /// Whether the field names an interval rather than fixed values: it has a `*`, a range or a step.
    pub(crate) fn is_interval(&self) -> bool {
        self.has_star || self.has_range || !self.steps.is_empty()
    }

    /// The values as a set; not for years.
    pub(crate) fn set(&self) -> Values {
        self.values.iter().map(|value| *value as u8).collect()
    }

    fn item(&mut self, item: Word<'a>) -> Result<(), ParseError> {
        if item.text.is_empty() {
            return Err(item.error(format!(
                "a {} is missing here: remove the comma or write a value",
                self.unit.word()
            )));
        }
        if item.text == "?"
            && self.word.text == "?"
            && matches!(self.unit, Unit::Day | Unit::Weekday)
        {
            return self.sequence(self.unit.min(), self.unit.max(), 1, item);
        }
        if item.text.contains('?') {
            return Err(
                item.error("`?` stands alone, as day of the month or as weekday: write `*`")
            );
        }
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(self.step(step)?)),
            None => (item, None),
        };
        if base.text == "*" {
            self.has_star = true;
            return self.sequence(self.unit.min(), self.unit.max(), step.unwrap_or(1), item);
        }
        if self.special(base, item)? {
            return Ok(());
        }
        if let Some((from, to)) = base.split_once('-') {
            return self.range(from, to, step.unwrap_or(1), item);
        }
        let value = self.value(base)?;
        if let Some(step) = step {
            return Err(item.error(self.open_step(value, step, base.text, item.text)));
        }
        self.values.push(if self.unit == Unit::Weekday {
            value % 7
        } else {
            value
        });
        Ok(())
    }

    fn range(
        &mut self,
        from: Word<'a>,
        to: Word<'a>,
        step: u16,
        item: Word<'a>,
    ) -> Result<(), ParseError> {
        for side in [from, to] {
            if side.text.is_empty() {
                return Err(item.error("a range needs a value on both sides, such as `1-5`"));
            }
            let letters = side
                .text
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .to_ascii_uppercase();
            if self.unit == Unit::Day && matches!(letters.as_str(), "L" | "W" | "LW") {
                return Err(item.error(
                    "`L` and `W` cannot be part of a range: list the days, separated by commas",
                ));
            }
        }
        let (from, to) = (self.value(from)?, self.value(to)?);
        self.has_range = true;
        // 7 is Sunday at the end of a week (`5-7`), and the same day as 0 at its start (`7-2`).
        let from = if self.unit == Unit::Weekday && from == 7 && to < 7 {
            0
        } else {
            from
        };
        if from > to {
            if self.unit == Unit::Year {
                return Err(item.error(format!("years do not start again: write `{to}-{from}`")));
            }
            self.reversed.push(item);
        }
        self.sequence(from, to, step, item)
    }

    /// Every `step`-th value from one to another, through the end of the range if need be.
    fn sequence(
        &mut self,
        from: u16,
        to: u16,
        step: u16,
        item: Word<'a>,
    ) -> Result<(), ParseError> {
        let (min, max) = (self.unit.min(), self.unit.max());
        let all: Vec<u16> = if from <= to {
            (from..=to).collect()
        } else {
            (from..=max).chain(min..=to).collect()
        };
        if step > 1 && usize::from(step) >= all.len() {
            let range = if item.text.starts_with('*') {
                format!("{min}..={max}")
            } else {
                format!("{from}-{to}")
            };
            let every = match self.unit.letter() {
                Some(letter) => format!(", or `@every {step}{letter}` if that is meant"),
                None => String::new(),
            };
            return Err(item.error(format!(
                "a step of {step} goes past the range {range} and would match {from} alone: write `{from}`{every}"
            )));
        }
        if step > 1 {
            self.steps.push((step, item));
        }
        let fold = |value: u16| {
            if self.unit == Unit::Weekday {
                value % 7
            } else {
                value
            }
        };
        self.values
            .extend(all.into_iter().step_by(usize::from(step)).map(fold));
        Ok(())
    }

    fn step(&self, word: Word<'a>) -> Result<u16, ParseError> {
        match number(word.text) {
            Some(0) => Err(word.error("a step must be at least 1")),
            Some(step) => Ok(step),
            None if word.text.is_empty() => {
                Err(word.error("a step is missing after the `/`, as in `*/5`"))
            }
            None => Err(word.error(format!("a step must be a number, not `{}`", word.text))),
        }
    }

    fn value(&self, word: Word<'a>) -> Result<u16, ParseError> {
        let unit = self.unit;
        let max = if unit == Unit::Weekday { 7 } else { unit.max() };
        if word.text.is_empty() {
            return Err(word.error(format!(
                "a {} is missing here: {}",
                unit.word(),
                unit.allowed()
            )));
        }
        let found = match number(word.text) {
            Some(value) => Some(value).filter(|value| (unit.min()..=max).contains(value)),
            None => unit.named(word.text),
        };
        found.ok_or_else(|| word.error(self.refusal(word.text)))
    }

    /// What to write for `5/15`, which is "from 5 on" to some programs and "5 alone" or a mistake to others.
    fn open_step(&self, value: u16, step: u16, from: &str, item: &str) -> String {
        let max = self.unit.max();
        let start = format!("`{item}` means different things to different cron programs: write");
        if value + step > max {
            return format!("{start} `{from}`, since no further value is {step} away");
        }
        format!(
            "{start} `{from}-{max}/{step}` for every {step} from {from} on, or `{from}` for that value alone"
        )
    }

    fn refusal(&self, text: &str) -> String {
        let plain = format!(
            "{} must be {}, not `{text}`",
            self.unit.word(),
            self.unit.allowed()
        );
        let names = self.unit.names();
        let begins = |name: &&&str| {
            text.len() >= 3
                && name
                    .get(..text.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(text))
        };
        let meant = names
            .iter()
            .find(begins)
            .copied()
            .or_else(|| nearest(text, names.iter().copied()));
        if let Some(name) = meant {
            return format!(
                "{plain}; did you mean `{}`?",
                name[..3].to_ascii_uppercase()
            );
        }
        if text.eq_ignore_ascii_case("H") || text.eq_ignore_ascii_case("R") || text.contains('~') {
            return format!(
                "{plain}; to spread the load, write a fixed value and give the recurring job a jitter"
            );
        }
        if self.unit == Unit::Weekday && number(text).is_some_and(|n| n >= Unit::Year.min()) {
            return format!(
                "{plain}; a year is the last of 7 fields: second minute hour day month weekday year"
            );
        }
        plain
    }

    /// Reads `L`, `L-3`, `15W`, `LW`, `5L` and `5#2`; false when the item is none of them.
    fn special(&mut self, base: Word<'a>, item: Word<'a>) -> Result<bool, ParseError> {
        let upper = base.text.to_ascii_uppercase();
        let is_special = match self.unit {
            // `15W-20` and `1-L` are ranges, and refused as such.
            Unit::Day => upper.starts_with('L') || (upper.ends_with('W') && !upper.contains('-')),
            Unit::Weekday => upper.ends_with('L') || upper.contains('#'),
            _ => false,
        };
        if !is_special {
            return Ok(false);
        }
        if base.text.len() != item.text.len() {
            return Err(item.error(format!(
                "`{}` is one day of a month and takes no step",
                base.text
            )));
        }
        if self.unit == Unit::Day {
            let rule = self.month_day(base, &upper)?;
            self.month_days.push(rule);
        } else {
            let rule = self.month_weekday(base, &upper)?;
            self.weekdays.push(rule);
        }
        Ok(true)
    }

    fn month_day(&self, word: Word<'a>, upper: &str) -> Result<MonthDay, ParseError> {
        match upper {
            "L" => return Ok(MonthDay::FromLast(0)),
            "LW" => return Ok(MonthDay::LastWorkday),
            _ => {}
        }
        if let Some(before) = upper.strip_prefix("L-") {
            return match number(before) {
                Some(before @ 1..=30) => Ok(MonthDay::FromLast(before as u8)),
                _ => Err(word.error(format!(
                    "`L-` takes 1..=30 days before the last one, not `{before}`"
                ))),
            };
        }
        match upper.strip_suffix('W') {
            Some("") => Err(word.error(
                "`W` needs a day before it: `15W` is the Monday to Friday nearest to the 15th",
            )),
            Some(_) => Ok(MonthDay::Nearest(self.value(word.without_last())? as u8)),
            None => Err(word.error(self.refusal(word.text))),
        }
    }

    fn month_weekday(&self, word: Word<'a>, upper: &str) -> Result<MonthWeekday, ParseError> {
        if upper == "L" {
            return Err(word.error("`L` needs a weekday before it: `5L` is the last Friday of the month; Saturday is `SAT`"));
        }
        if let Some((day, nth)) = word.split_once('#') {
            let day = (self.value(day)? % 7) as u8;
            return match number(nth.text) {
                Some(nth @ 1..=5) => Ok(MonthWeekday::Nth(day, nth as u8)),
                _ => Err(word.error(format!(
                    "`#` takes 1..=5, as in `5#2`, the second Friday, not `{}`",
                    nth.text
                ))),
            };
        }
        Ok(MonthWeekday::Last(
            (self.value(word.without_last())? % 7) as u8,
        ))
    }
}

/// A plain number of at most four digits: no sign, no blanks.
fn number(text: &str) -> Option<u16> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}
