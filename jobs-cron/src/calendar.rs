//! The Gregorian calendar from 1970 to 2100, as much of it as day rules need.

/// The first and the last year of a schedule. Time zone data ends with the last one.
pub(crate) const YEARS: std::ops::RangeInclusive<u16> = 1970..=2100;

/// How many days a month has.
pub(crate) fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// The weekday of a date, 0 = Sunday (Sakamoto's method).
pub(crate) fn weekday(year: u16, month: u8, day: u8) -> u8 {
    const SHIFT: [u16; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    let y = if month < 3 { year - 1 } else { year };
    let sum = y + y / 4 - y / 100 + y / 400 + SHIFT[usize::from(month) - 1] + u16::from(day);
    (sum % 7) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekdays_follow_each_other_over_all_years() {
        // 1 January 1970 was a Thursday; from there every day is the next weekday.
        let mut expected = 4;
        for year in YEARS {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(weekday(year, month, day), expected, "{year}-{month}-{day}");
                    expected = (expected + 1) % 7;
                }
            }
        }
        assert_eq!(expected, 6, "1 January 2101 is a Saturday");
    }

    #[test]
    fn february_has_29_days_in_leap_years_alone() {
        assert_eq!(
            [2024, 2026, 2000, 2100].map(|y| days_in_month(y, 2)),
            [29, 28, 29, 28]
        );
    }
}
