//! Go's `time.ParseInLocation`.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{ToSpan as _, Zoned};

use super::format::{DAYS, MONTHS, short, zone_name};
use super::layout::{self, Part};

/// What a text gave for the parts of a layout.
#[derive(Default)]
struct Read {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    half: Option<bool>,
    twelve: bool,
    offset: Option<i32>,
    zone_name: Option<String>,
}

/// Go's `time.ParseInLocation`.
pub(super) fn parse(text: &str, layout: &str, zone: &TimeZone) -> Result<Zoned, String> {
    let failed = |rest: &str, part: &str| {
        format!(
            "parsing time {} as {}: cannot parse {} as {}",
            crate::gotext::quote(text),
            crate::gotext::quote(layout),
            crate::gotext::quote(rest),
            crate::gotext::quote(part)
        )
    };
    let out_of_range =
        |what: &str| format!("parsing time {}: {what} out of range", crate::gotext::quote(text));
    let mut read = Read::default();
    let mut rest = text;
    let parts = layout::parts(layout);
    for (i, part) in parts.iter().enumerate() {
        let next_is_fraction = matches!(parts.get(i + 1), Some(Part::Fraction { .. }));
        rest = read_part(&mut read, rest, part, next_is_fraction)
            .ok_or_else(|| failed(rest, &part.text()))?;
    }
    if !rest.is_empty() {
        return Err(format!(
            "parsing time {}: extra text: {}",
            crate::gotext::quote(text),
            crate::gotext::quote(rest)
        ));
    }
    if let Some(pm) = read.half {
        if pm && read.hour < 12 {
            read.hour += 12;
        } else if !pm && read.hour == 12 {
            read.hour = 0;
        }
    } else if read.twelve && read.hour > 12 {
        return Err(out_of_range("hour"));
    }
    for (value, limit, what) in
        [(read.hour, 23, "hour"), (read.minute, 59, "minute"), (read.second, 59, "second")]
    {
        if value > limit {
            return Err(out_of_range(what));
        }
    }
    let small = |n: i64| i8::try_from(n).unwrap_or(-1);
    let year = i16::try_from(read.year).map_err(|_| out_of_range("year"))?;
    if read.month.is_some_and(|m| !(1..=12).contains(&m)) {
        return Err(out_of_range("month"));
    }
    let mut at = DateTime::new(
        year,
        small(read.month.unwrap_or(1)),
        small(read.day.unwrap_or(1)),
        small(read.hour),
        small(read.minute),
        small(read.second),
        i32::try_from(read.nanos).unwrap_or(0),
    )
    .map_err(|_| out_of_range("day"))?;
    if let Some(day) = read.year_day {
        at = DateTime::new(year, 1, 1, at.hour(), at.minute(), at.second(), at.subsec_nanosecond())
            .and_then(|start| start.checked_add((day - 1).days()))
            .map_err(|_| out_of_range("day-of-year"))?;
        if i64::from(at.day_of_year()) != day || at.year() != year {
            return Err(out_of_range("day-of-year"));
        }
    }
    let zone = match (read.offset, &read.zone_name) {
        (Some(0), _) => TimeZone::UTC,
        (Some(seconds), _) => {
            TimeZone::fixed(Offset::from_seconds(seconds).map_err(|_| out_of_range("zone"))?)
        }
        // A zone's name only counts where the location knows it; otherwise
        // Go takes it for a name at offset zero.
        (None, Some(name)) if name == "UTC" => TimeZone::UTC,
        (None, Some(name)) => {
            let here = at.to_zoned(zone.clone()).map_err(|_| out_of_range("time"))?;
            if zone_name(&here) == *name { zone.clone() } else { TimeZone::UTC }
        }
        (None, None) => zone.clone(),
    };
    at.to_zoned(zone).map_err(|_| out_of_range("time"))
}

/// Up to `max` digits, at least `min`.
fn digits(text: &str, min: usize, max: usize) -> Option<(i64, &str)> {
    let len = text.bytes().take(max).take_while(u8::is_ascii_digit).count();
    if len < min {
        return None;
    }
    Some((text.get(..len)?.parse().ok()?, text.get(len..)?))
}

fn word<'a>(text: &'a str, words: &[&str], short_form: bool) -> Option<(i64, &'a str)> {
    words.iter().enumerate().find_map(|(i, name)| {
        let name = if short_form { short(name) } else { name };
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name)
            .then(|| (i64::try_from(i).unwrap_or(0), text.get(name.len()..).unwrap_or("")))
    })
}

fn read_part<'a>(
    read: &mut Read,
    text: &'a str,
    part: &Part<'_>,
    next_is_fraction: bool,
) -> Option<&'a str> {
    let number = |into: &mut i64, min: usize, max: usize| {
        let (n, rest) = digits(text, min, max)?;
        *into = n;
        Some(rest)
    };
    match part {
        Part::Text(literal) => {
            // Go lets any number of spaces stand for a space.
            if literal.trim().is_empty() && !literal.is_empty() {
                return Some(text.trim_start_matches(' '));
            }
            text.strip_prefix(literal)
        }
        Part::Year4 => number(&mut read.year, 4, 4),
        Part::Year2 => {
            let (n, rest) = digits(text, 2, 2)?;
            read.year = if n >= 69 { n + 1900 } else { n + 2000 };
            Some(rest)
        }
        Part::MonthName | Part::MonthShort => {
            let (n, rest) = word(text, &MONTHS, matches!(part, Part::MonthShort))?;
            read.month = Some(n + 1);
            Some(rest)
        }
        Part::Month { wide } => {
            let (n, rest) = digits(text, if *wide { 2 } else { 1 }, 2)?;
            read.month = Some(n);
            Some(rest)
        }
        Part::WeekdayName | Part::WeekdayShort => {
            let (_, rest) = word(text, &DAYS, matches!(part, Part::WeekdayShort))?;
            Some(rest)
        }
        Part::Day | Part::DaySpace | Part::DayZero => {
            let text = if matches!(part, Part::DaySpace) {
                text.strip_prefix(' ').unwrap_or(text)
            } else {
                text
            };
            let (n, rest) = digits(text, if matches!(part, Part::DayZero) { 2 } else { 1 }, 2)?;
            read.day = Some(n);
            Some(rest)
        }
        Part::YearDaySpace | Part::YearDayZero => {
            let trimmed = text.trim_start_matches(' ');
            let width = 3_usize.saturating_sub(text.len() - trimmed.len());
            let (n, rest) = digits(trimmed, width, width)?;
            read.year_day = Some(n);
            Some(rest)
        }
        Part::Hour24 => number(&mut read.hour, 2, 2),
        Part::Hour12 { wide } => {
            read.twelve = true;
            number(&mut read.hour, if *wide { 2 } else { 1 }, 2)
        }
        Part::Minute { wide } => number(&mut read.minute, if *wide { 2 } else { 1 }, 2),
        Part::Second { wide } => {
            let rest = number(&mut read.second, if *wide { 2 } else { 1 }, 2)?;
            // A fraction may follow the second without being in the layout.
            let point = rest.starts_with(['.', ',']);
            if point
                && !next_is_fraction
                && rest.get(1..)?.starts_with(|c: char| c.is_ascii_digit())
            {
                return read_fraction(read, rest);
            }
            Some(rest)
        }
        Part::Half { .. } => {
            let head = text.get(..2)?;
            read.half = Some(match head.to_ascii_uppercase().as_str() {
                "PM" => true,
                "AM" => false,
                _ => return None,
            });
            text.get(2..)
        }
        Part::Fraction { trimmed, digits: count, .. } => {
            if *trimmed {
                let follows = text.starts_with(['.', ','])
                    && text.get(1..)?.starts_with(|c: char| c.is_ascii_digit());
                return if follows { read_fraction(read, text) } else { Some(text) };
            }
            let body = text.strip_prefix(['.', ','])?;
            let (_, rest) = digits(body, *count, *count)?;
            read_fraction(read, text.get(..=*count)?)?;
            Some(rest)
        }
        Part::Zone { z, colon, minutes, seconds } => {
            if *z && let Some(rest) = text.strip_prefix('Z') {
                read.offset = Some(0);
                return Some(rest);
            }
            let negative = text.starts_with('-');
            let mut rest = text.strip_prefix(['+', '-'])?;
            let (hours, after) = digits(rest, 2, 2)?;
            rest = after;
            let mut total = hours * 3600;
            for (wanted, unit) in [(*minutes, 60), (*seconds, 1)] {
                if wanted {
                    let body = if *colon { rest.strip_prefix(':')? } else { rest };
                    let (n, after) = digits(body, 2, 2)?;
                    total += n * unit;
                    rest = after;
                }
            }
            let total = i32::try_from(total).ok()?;
            read.offset = Some(if negative { -total } else { total });
            Some(rest)
        }
        Part::ZoneName => {
            let len = text.bytes().take_while(u8::is_ascii_uppercase).count();
            if (3..=5).contains(&len) {
                read.zone_name = Some(text.get(..len)?.to_owned());
                return text.get(len..);
            }
            // `+03` and the like are names too.
            let body = text.strip_prefix(['+', '-'])?;
            let (hours, rest) = digits(body, 2, 2)?;
            let seconds = i32::try_from(hours * 3600).ok()?;
            read.offset = Some(if text.starts_with('-') { -seconds } else { seconds });
            Some(rest)
        }
    }
}

fn read_fraction<'a>(read: &mut Read, text: &'a str) -> Option<&'a str> {
    let body = text.get(1..)?;
    let len = body.bytes().take_while(u8::is_ascii_digit).count();
    let digits: String = body.get(..len)?.chars().chain("000000000".chars()).take(9).collect();
    read.nanos = digits.parse().ok()?;
    body.get(len..)
}
