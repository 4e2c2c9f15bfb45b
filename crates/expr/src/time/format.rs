//! Go's `time.Time.Format`.

use std::fmt::Write as _;

use jiff::Zoned;
use jiff::tz::Offset;

use super::layout::{self, Part};

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn hour12(hour: i8) -> i8 {
    if hour % 12 == 0 { 12 } else { hour % 12 }
}

/// Go's `time.Time.Format`.
pub(crate) fn format(time: &Zoned, layout: &str) -> String {
    let mut out = String::new();
    for part in layout::parts(layout) {
        let _ = match part {
            Part::Text(text) => write!(out, "{text}"),
            Part::Year4 => write!(out, "{:04}", time.year()),
            Part::Year2 => write!(out, "{:02}", time.year().rem_euclid(100)),
            Part::MonthName => write!(out, "{}", month_name(time.month())),
            Part::MonthShort => write!(out, "{}", short(month_name(time.month()))),
            Part::Month { wide: true } => write!(out, "{:02}", time.month()),
            Part::Month { wide: false } => write!(out, "{}", time.month()),
            Part::WeekdayName => write!(out, "{}", day_name(time)),
            Part::WeekdayShort => write!(out, "{}", short(day_name(time))),
            Part::Day => write!(out, "{}", time.day()),
            Part::DaySpace => write!(out, "{:2}", time.day()),
            Part::DayZero => write!(out, "{:02}", time.day()),
            Part::YearDaySpace => write!(out, "{:3}", time.day_of_year()),
            Part::YearDayZero => write!(out, "{:03}", time.day_of_year()),
            Part::Hour24 => write!(out, "{:02}", time.hour()),
            Part::Hour12 { wide: true } => write!(out, "{:02}", hour12(time.hour())),
            Part::Hour12 { wide: false } => write!(out, "{}", hour12(time.hour())),
            Part::Minute { wide: true } => write!(out, "{:02}", time.minute()),
            Part::Minute { wide: false } => write!(out, "{}", time.minute()),
            Part::Second { wide: true } => write!(out, "{:02}", time.second()),
            Part::Second { wide: false } => write!(out, "{}", time.second()),
            Part::Half { upper } => {
                let pm = time.hour() >= 12;
                let text = match (upper, pm) {
                    (true, true) => "PM",
                    (true, false) => "AM",
                    (false, true) => "pm",
                    (false, false) => "am",
                };
                write!(out, "{text}")
            }
            Part::Fraction { separator, digits, trimmed } => {
                let text = format!("{:09}", time.subsec_nanosecond());
                let text = text.get(..digits.min(9)).unwrap_or("");
                let text = if trimmed { text.trim_end_matches('0') } else { text };
                if text.is_empty() { Ok(()) } else { write!(out, "{separator}{text}") }
            }
            Part::Zone { z, colon, minutes, seconds } => {
                offset_text(&mut out, time.offset(), z, colon, minutes, seconds);
                Ok(())
            }
            Part::ZoneName => write!(out, "{}", zone_name(time)),
        };
    }
    out
}

fn offset_text(
    out: &mut String,
    offset: Offset,
    z: bool,
    colon: bool,
    minutes: bool,
    seconds: bool,
) {
    let total = offset.seconds();
    if z && total == 0 {
        out.push('Z');
        return;
    }
    let size = total.unsigned_abs();
    let colon = if colon { ":" } else { "" };
    let _ = write!(out, "{}{:02}", if total < 0 { '-' } else { '+' }, size / 3600);
    if minutes {
        let _ = write!(out, "{colon}{:02}", size / 60 % 60);
    }
    if seconds {
        let _ = write!(out, "{colon}{:02}", size % 60);
    }
}

pub(super) fn zone_name(time: &Zoned) -> String {
    let info = time.time_zone().to_offset_info(time.timestamp());
    let name = info.abbreviation();
    if time.time_zone().iana_name().is_none() && time.offset() != Offset::UTC {
        // A fixed offset has no name: Go writes the offset.
        let mut out = String::new();
        offset_text(&mut out, time.offset(), false, false, true, false);
        return out;
    }
    name.to_owned()
}

pub(super) fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

pub(super) fn month_name(month: i8) -> &'static str {
    usize::try_from(month - 1).ok().and_then(|i| MONTHS.get(i)).copied().unwrap_or("")
}

pub(super) fn day_name(time: &Zoned) -> &'static str {
    let day = time.weekday().to_sunday_zero_offset();
    usize::try_from(day).ok().and_then(|i| DAYS.get(i)).copied().unwrap_or("")
}
