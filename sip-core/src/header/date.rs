//! Date (RFC 3261 §20.17).

use super::{HeaderName, TypedHeader};
use crate::{ErrorKind, ParseError, grammar};
use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A time in GMT, to the second: `Sat, 13 Nov 2010 23:29:00 GMT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date {
    /// Seconds since 1970, in the years 0 to 9999.
    seconds: i64,
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Date {
    /// This moment; `None` outside the years 1970 to 9999.
    pub fn from_system_time(time: SystemTime) -> Option<Self> {
        let seconds = i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
        (seconds < 253_402_300_800).then_some(Self { seconds })
    }

    /// The moment; `None` before 1970.
    pub fn system_time(self) -> Option<SystemTime> {
        Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(self.seconds).ok()?))
    }

    fn read(input: &str) -> grammar::Res<'_, Self> {
        let (rest, day) = grammar::token(input)?;
        if !DAYS.contains(&day) {
            return grammar::expected(input, "a day of the week");
        }
        let (rest, ()) = grammar::sign(',', "a comma")(rest)?;
        let (rest, day) = grammar::number(rest, 31, "a day of the month")?;
        let month_at = grammar::lws(rest);
        let (rest, month) = grammar::token(month_at)?;
        let Some(month) = MONTHS.iter().position(|m| *m == month).and_then(|m| i64::try_from(m + 1).ok())
        else {
            return grammar::expected(month_at, "a month");
        };
        let (rest, year) = grammar::number(grammar::lws(rest), 9999, "a year of four digits")?;
        let (rest, hour) = grammar::number(grammar::lws(rest), 23, "an hour")?;
        let (rest, ()) = grammar::sign(':', "':' and minutes")(rest)?;
        let (rest, minute) = grammar::number(rest, 59, "minutes")?;
        let (rest, ()) = grammar::sign(':', "':' and seconds")(rest)?;
        let (rest, second) = grammar::number(rest, 60, "seconds")?;
        let zone_at = grammar::lws(rest);
        let Some(rest) = zone_at.strip_prefix("GMT") else {
            // RFC 3261 §20.17: no other zone (RFC 4475 §3.1.2.12).
            return grammar::expected(zone_at, "GMT");
        };
        let number = |n: u64| i64::try_from(n).unwrap_or(0);
        let days = days_from_civil(number(year), month, number(day));
        if number(day) < 1 || civil_from_days(days) != (number(year), month, number(day)) {
            return grammar::failed(input, ErrorKind::Number, "a day this month has");
        }
        let seconds = days * 86_400 + number(hour) * 3600 + number(minute) * 60 + number(second);
        Ok((rest, Self { seconds }))
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl TypedHeader for Date {
    const NAME: HeaderName<'static> = HeaderName::DATE;

    fn parse(text: &str) -> Result<Self, ParseError> {
        grammar::whole(text, "nothing after GMT", Self::read)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.seconds.div_euclid(86_400);
        let time = self.seconds.rem_euclid(86_400);
        let (year, month, day) = civil_from_days(days);
        let name = |names: &'static [&str], at: i64| {
            usize::try_from(at).ok().and_then(|at| names.get(at)).unwrap_or(&"")
        };
        let weekday = name(&DAYS, (days + 3).rem_euclid(7));
        let month = name(&MONTHS, month - 1);
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(f, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, seconds) in [
            ("Sat, 13 Nov 2010 23:29:00 GMT", 1_289_690_940),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 12:00:01 GMT", 951_825_601),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ] {
            let date = Date::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((date.seconds, date.to_string().as_str()), (seconds, text));
            assert_eq!(date.system_time().and_then(Date::from_system_time), Some(date));
        }
        for text in [
            "Fri, 01 Jan 2010 16:00:00 EST",
            "Sat, 30 Feb 2010 00:00:00 GMT",
            "Sat, 00 Nov 2010 23:29:00 GMT",
            "yesterday",
            "",
        ] {
            assert!(Date::parse(text).is_err(), "{text}");
        }
    }
}
