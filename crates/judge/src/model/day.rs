//! Calendar days. The caller provides today.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    year: i64,
    month: i64,
    date: i64,
}

impl Day {
    /// Parses `2026-12-31` (ISO 8601).
    pub fn parse(text: &str) -> Option<Day> {
        let is_of_form = text.len() == 10
            && text.bytes().enumerate().all(|(place, byte)| match place {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !is_of_form {
            return None;
        }
        let number = |from: usize, to: usize| text[from..to].parse::<i64>().ok();
        let day = Day { year: number(0, 4)?, month: number(5, 7)?, date: number(8, 10)? };
        let is_leap = day.year % 4 == 0 && (day.year % 100 != 0 || day.year % 400 == 0);
        let days = match day.month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (1..=days).contains(&day.date).then_some(day)
    }

    /// The day of `2026-11-24T10:54:52Z` (RFC 3339, UTC).
    pub fn of_timestamp(timestamp: &str) -> Option<Day> {
        Day::parse(timestamp.get(..10)?)
    }

    pub fn days_until(self, other: Day) -> i64 {
        other.number() - self.number()
    }

    /// Days since 1970-01-01: Howard Hinnant's `days_from_civil`
    /// (<https://howardhinnant.github.io/date_algorithms.html>). Its year begins in March, so that the leap day is the
    /// last one.
    fn number(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.date - 1;
        let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
        146_097 * era + day_of_era - 719_468
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.date)
    }
}

#[cfg(test)]
mod tests {
    use super::Day;

    #[test]
    fn a_day_is_one_of_the_calendar() {
        for (text, is_day) in [
            ("2026-12-31", true),
            ("2028-02-29", true),
            ("2026-02-29", false),
            ("1900-02-29", false),
            ("2000-02-29", true),
            ("2026-04-31", false),
            ("2026-13-01", false),
            ("2026-00-10", false),
            ("2026-01-00", false),
            ("2026-1-1", false),
            ("31.12.2026", false),
            ("2026-12-31T", false),
            ("+026-12-31", false),
            ("", false),
        ] {
            let day = Day::parse(text);
            assert_eq!(day.is_some(), is_day, "{text}");
            assert!(day.is_none_or(|day| day.to_string() == text), "{text}");
        }
    }

    #[test]
    fn days_are_counted_across_months_years_and_leap_days() {
        for (from, to, days) in [
            ("1970-01-01", "1970-01-01", 0),
            ("1970-01-01", "2026-11-24", 20_781),
            ("2026-11-24", "2026-12-08", 14),
            ("2026-12-31", "2027-01-01", 1),
            ("2028-02-28", "2028-03-01", 2),
            ("2027-02-28", "2027-03-01", 1),
            ("2026-12-31", "2026-11-30", -31),
            ("1999-12-31", "2400-01-01", 146_098),
        ] {
            let [from_day, to_day] = [from, to].map(|text| Day::parse(text).unwrap());
            assert_eq!(from_day.days_until(to_day), days, "{from} to {to}");
        }
        assert_eq!(Day::of_timestamp("2026-11-24T10:54:52Z"), Day::parse("2026-11-24"));
        assert_eq!(Day::of_timestamp("unknown"), None);
    }
}
