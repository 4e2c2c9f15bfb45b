//! Times and durations as Go has them: layouts, texts, methods.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};

use crate::error::Error;
use crate::function::{Function, FunctionError};
use crate::layout::{self, Part};
use crate::object::Object;
use crate::value::Value;

const NANOS: i64 = 1_000_000_000;

const MONTHS: [&str; 12] = [
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

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The layouts that `date(text)` tries, in this order (`expressions` 6.5).
const DATE_LAYOUTS: [&str; 7] = [
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
];

impl From<Zoned> for Value {
    fn from(time: Zoned) -> Self {
        Self::Time(Arc::new(time))
    }
}

impl From<Timestamp> for Value {
    /// The point in time in UTC.
    fn from(time: Timestamp) -> Self {
        time.to_zoned(TimeZone::UTC).into()
    }
}

/// RFC 3339 with as many digits of the second as needed.
pub(crate) fn to_rfc3339(time: &Zoned) -> String {
    format(time, "2006-01-02T15:04:05.999999999Z07:00")
}

/// Go's `time.Time.String`.
pub(crate) fn to_text(time: &Zoned) -> String {
    format(time, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// Go's `time.Duration.String`: `1h0m0s`, `1.5s`, `2ms`, `0s`.
pub(crate) fn duration_text(nanos: i64) -> String {
    let mut out = String::new();
    if nanos < 0 {
        out.push('-');
    }
    let size = nanos.unsigned_abs();
    let fraction = |out: &mut String, value: u64, unit: u64, name: &str| {
        let _ = write!(out, "{}", value / unit);
        let digits = unit.ilog10() as usize;
        if value % unit != 0 {
            let text = format!("{:0digits$}", value % unit);
            let _ = write!(out, ".{}", text.trim_end_matches('0'));
        }
        out.push_str(name);
    };
    match size {
        0 => return "0s".to_owned(),
        1..1_000 => {
            let _ = write!(out, "{size}ns");
        }
        1_000..1_000_000 => fraction(&mut out, size, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(&mut out, size, 1_000_000, "ms"),
        _ => {
            let seconds = size / NANOS as u64;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            if hours > 0 {
                let _ = write!(out, "{hours}h");
            }
            if seconds >= 60 {
                let _ = write!(out, "{minutes}m");
            }
            fraction(&mut out, size % (60 * NANOS as u64), NANOS as u64, "s");
        }
    }
    out
}

/// Go's `time.ParseDuration`.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let quoted = crate::gotext::quote(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let digits = rest.get(..number).unwrap_or("");
        rest = rest.get(number..).unwrap_or("");
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        let unit_len = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = rest.get(..unit_len).unwrap_or("");
        rest = rest.get(unit_len..).unwrap_or("");
        let size: i128 = match unit {
            "" => return Err(format!("time: missing unit in duration {quoted}")),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            other => {
                return Err(format!(
                    "time: unknown unit {} in duration {quoted}",
                    crate::gotext::quote(other)
                ));
            }
        };
        if whole.len() > 19 {
            return Err(invalid());
        }
        total +=
            if whole.is_empty() { 0 } else { whole.parse::<i128>().map_err(|_| invalid())? } * size;
        if !fraction.is_empty() {
            let fraction = fraction.get(..fraction.len().min(18)).unwrap_or("");
            let scale = 10_i128.pow(u32::try_from(fraction.len()).unwrap_or(0));
            total += fraction.parse::<i128>().map_err(|_| invalid())? * size / scale;
        }
        if total > i128::from(i64::MAX) + 1 {
            return Err(invalid());
        }
    }
    let signed = if negative { -total } else { total };
    i64::try_from(signed).map_err(|_| invalid())
}

/// `time + nanos`.
pub(crate) fn shift(time: &Zoned, nanos: i64) -> Result<Value, Error> {
    time.checked_add(SignedDuration::from_nanos(nanos))
        .map(Value::from)
        .map_err(|_| Error::run("time out of range"))
}

/// Nanoseconds from one time to another, at most what 64 bits hold.
pub(crate) fn between(from: &Zoned, to: &Zoned) -> i64 {
    let nanos = to.timestamp().as_nanosecond() - from.timestamp().as_nanosecond();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// A zone by name, as Go's `time.LoadLocation` reads it.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Ok(TimeZone::system()),
        _ => TimeZone::get(name).map_err(|_| format!("unknown time zone {name}")),
    }
}

/// `date(text)`, `date(text, layout)`, `date(text, layout, zone)`.
pub(crate) fn parse_date(
    text: &str,
    layout: Option<&str>,
    zone: &TimeZone,
) -> Result<Zoned, String> {
    match layout {
        Some(layout) => parse(text, layout, zone),
        None => DATE_LAYOUTS
            .iter()
            .find_map(|layout| parse(text, layout, zone).ok())
            .ok_or_else(|| format!("invalid date {text}")),
    }
}

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

fn zone_name(time: &Zoned) -> String {
    let info = time.time_zone().to_offset_info(time.timestamp());
    let name = info.abbreviation();
    if time.time_zone().iana_name().is_none() && time.offset() != Offset::UTC {
        // A fixed offset has no name in Go: `+0200`.
        let mut out = String::new();
        let whole = time.offset().seconds() % 3600 == 0;
        offset_text(&mut out, time.offset(), false, false, !whole, false);
        return if whole { out } else { out };
    }
    name.to_owned()
}

fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

fn month_name(month: i8) -> &'static str {
    usize::try_from(month - 1).ok().and_then(|i| MONTHS.get(i)).copied().unwrap_or("")
}

fn day_name(time: &Zoned) -> &'static str {
    let day = time.weekday().to_sunday_zero_offset();
    usize::try_from(day).ok().and_then(|i| DAYS.get(i)).copied().unwrap_or("")
}

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
pub(crate) fn parse(text: &str, layout: &str, zone: &TimeZone) -> Result<Zoned, String> {
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

/// A whole number with a name, such as a month.
#[derive(Debug)]
struct Named {
    type_name: &'static str,
    name: &'static str,
    number: i64,
}

impl Object for Named {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn field(&self, name: &str) -> Option<Value> {
        let text = self.name;
        (name == "String").then(|| method_of("String", 0, move |_| Ok(text.into())))
    }

    fn field_names(&self) -> Vec<&str> {
        vec!["String"]
    }

    fn to_json(&self) -> Result<serde_json::Value, Error> {
        Ok(self.number.into())
    }

    fn to_text(&self) -> String {
        self.name.to_owned()
    }

    fn as_int(&self) -> Option<i64> {
        Some(self.number)
    }
}

/// A time zone.
#[derive(Debug)]
pub(crate) struct Location(pub TimeZone);

impl Object for Location {
    fn type_name(&self) -> &'static str {
        "time.Location"
    }

    fn field(&self, name: &str) -> Option<Value> {
        let text = self.to_text();
        (name == "String").then(|| method_of("String", 0, move |_| Ok(text.as_str().into())))
    }

    fn field_names(&self) -> Vec<&str> {
        vec!["String"]
    }

    fn to_json(&self) -> Result<serde_json::Value, Error> {
        Ok(serde_json::json!({}))
    }

    fn to_text(&self) -> String {
        self.0.iana_name().unwrap_or("Local").to_owned()
    }

    fn as_zone(&self) -> Option<&TimeZone> {
        Some(&self.0)
    }
}

fn method_of(
    name: &'static str,
    arity: usize,
    body: impl Fn(&[Value]) -> Result<Value, FunctionError> + Send + Sync + 'static,
) -> Value {
    Value::Function(Function::new(name, body).with_arity(arity..=arity))
}

fn time_argument(args: &[Value]) -> Result<Arc<Zoned>, FunctionError> {
    args.first()
        .and_then(crate::ops::time_of)
        .ok_or_else(|| "expected a time, such as date(...) gives".into())
}

fn duration_argument(args: &[Value]) -> Result<i64, FunctionError> {
    match args.first() {
        Some(Value::Duration(d)) => Ok(*d),
        _ => Err("expected a duration, such as duration(...) gives".into()),
    }
}

fn int_argument(args: &[Value], index: usize) -> Result<i64, FunctionError> {
    args.get(index)
        .and_then(|v| crate::ops::to_int(v).ok())
        .ok_or_else(|| "expected a whole number".into())
}

fn moved(time: &Zoned, nanos: i64) -> Result<Value, FunctionError> {
    shift(time, nanos).map_err(|e| e.message().into())
}

/// A method of a time.
pub(crate) fn method(time: &Arc<Zoned>, name: &str) -> Option<Value> {
    let simple =
        |name: &'static str, value: Value| Some(method_of(name, 0, move |_| Ok(value.clone())));
    let int = |name: &'static str, n: i64| simple(name, Value::Int(n));
    let t = time.clone();
    match name {
        "Year" => int("Year", time.year().into()),
        "Month" => {
            let month = Named {
                type_name: "time.Month",
                name: month_name(time.month()),
                number: time.month().into(),
            };
            simple("Month", Value::Object(Arc::new(month)))
        }
        "Day" => int("Day", time.day().into()),
        "Hour" => int("Hour", time.hour().into()),
        "Minute" => int("Minute", time.minute().into()),
        "Second" => int("Second", time.second().into()),
        "Nanosecond" => int("Nanosecond", time.subsec_nanosecond().into()),
        "YearDay" => int("YearDay", time.day_of_year().into()),
        "Weekday" => {
            let day = Named {
                type_name: "time.Weekday",
                name: day_name(time),
                number: time.weekday().to_sunday_zero_offset().into(),
            };
            simple("Weekday", Value::Object(Arc::new(day)))
        }
        "Unix" => int("Unix", time.timestamp().as_second()),
        "UnixMilli" => int("UnixMilli", time.timestamp().as_millisecond()),
        "UnixMicro" => int("UnixMicro", time.timestamp().as_microsecond()),
        "UnixNano" => {
            int("UnixNano", i64::try_from(time.timestamp().as_nanosecond()).unwrap_or(i64::MAX))
        }
        "String" => simple("String", to_text(time).into()),
        "IsZero" => simple("IsZero", Value::Bool(time.timestamp().as_second() == -62_135_596_800)),
        "UTC" => simple("UTC", time.with_time_zone(TimeZone::UTC).into()),
        // A Kubernetes time wraps a time, which is then its field.
        "Time" => Some(Value::Time(time.clone())),
        "Local" => simple("Local", time.with_time_zone(TimeZone::system()).into()),
        "Location" => {
            simple("Location", Value::Object(Arc::new(Location(time.time_zone().clone()))))
        }
        "Format" => Some(method_of("Format", 1, move |args| {
            let layout = args.first().and_then(Value::as_str).ok_or("expected a layout")?;
            Ok(format(&t, layout).into())
        })),
        "Before" => Some(method_of("Before", 1, move |args| {
            Ok((t.timestamp() < time_argument(args)?.timestamp()).into())
        })),
        "After" => Some(method_of("After", 1, move |args| {
            Ok((t.timestamp() > time_argument(args)?.timestamp()).into())
        })),
        "Equal" => Some(method_of("Equal", 1, move |args| {
            Ok((t.timestamp() == time_argument(args)?.timestamp()).into())
        })),
        "Compare" => Some(method_of("Compare", 1, move |args| {
            let order = t.timestamp().cmp(&time_argument(args)?.timestamp());
            Ok(Value::Int(order as i64))
        })),
        "Sub" => Some(method_of("Sub", 1, move |args| {
            Ok(Value::Duration(between(time_argument(args)?.as_ref(), &t)))
        })),
        "Add" => Some(method_of("Add", 1, move |args| moved(&t, duration_argument(args)?))),
        "AddDate" => Some(method_of("AddDate", 3, move |args| {
            add_date(&t, int_argument(args, 0)?, int_argument(args, 1)?, int_argument(args, 2)?)
        })),
        "In" => Some(method_of("In", 1, move |args| {
            let zone = args
                .first()
                .and_then(Value::as_object)
                .and_then(Object::as_zone)
                .ok_or("expected a zone, such as timezone(...) gives")?;
            Ok(t.with_time_zone(zone.clone()).into())
        })),
        "Truncate" | "Round" => {
            let rounds = name == "Round";
            let name = if rounds { "Round" } else { "Truncate" };
            Some(method_of(name, 1, move |args| {
                let unit = i128::from(duration_argument(args)?);
                // Counted from the year 1, as Go does.
                let since = t.timestamp().as_nanosecond() + 62_135_596_800 * i128::from(NANOS);
                if unit <= 0 {
                    return Ok(Value::Time(t.clone()));
                }
                let over = since.rem_euclid(unit);
                let change = if rounds && over * 2 >= unit { unit - over } else { -over };
                moved(&t, i64::try_from(change).unwrap_or(0))
            }))
        }
        _ => None,
    }
}

/// Go's `AddDate`: months and days beyond the end carry over.
fn add_date(time: &Zoned, years: i64, months: i64, days: i64) -> Result<Value, FunctionError> {
    let out = || FunctionError::from("time out of range");
    let month = i64::from(time.month()) - 1 + months;
    let year = i64::from(time.year()) + years + month.div_euclid(12);
    let month = i8::try_from(month.rem_euclid(12) + 1).map_err(|_| out())?;
    let first = DateTime::new(
        i16::try_from(year).map_err(|_| out())?,
        month,
        1,
        time.hour(),
        time.minute(),
        time.second(),
        time.subsec_nanosecond(),
    )
    .map_err(|_| out())?;
    let shift = days.checked_add(i64::from(time.day()) - 1).ok_or_else(out)?;
    let span = jiff::Span::new().try_days(shift).map_err(|_| out())?;
    let moved = first.checked_add(span).map_err(|_| out())?;
    moved.to_zoned(time.time_zone().clone()).map(Value::from).map_err(|_| out())
}

/// A method of a duration.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn duration_method(nanos: i64, name: &str) -> Option<Value> {
    let simple =
        |name: &'static str, value: Value| Some(method_of(name, 0, move |_| Ok(value.clone())));
    let split = |unit: i64| (nanos / unit) as f64 + (nanos % unit) as f64 / unit as f64;
    match name {
        "Hours" => simple("Hours", split(3600 * NANOS).into()),
        "Minutes" => simple("Minutes", split(60 * NANOS).into()),
        "Seconds" => simple("Seconds", split(NANOS).into()),
        "Milliseconds" => simple("Milliseconds", (nanos / 1_000_000).into()),
        "Microseconds" => simple("Microseconds", (nanos / 1_000).into()),
        "Nanoseconds" => simple("Nanoseconds", nanos.into()),
        "String" => simple("String", duration_text(nanos).into()),
        "Abs" => simple("Abs", Value::Duration(nanos.saturating_abs())),
        "Truncate" | "Round" => {
            let rounds = name == "Round";
            Some(method_of(if rounds { "Round" } else { "Truncate" }, 1, move |args| {
                let unit = duration_argument(args)?;
                if unit <= 0 {
                    return Ok(Value::Duration(nanos));
                }
                let over = nanos % unit;
                let base = nanos - over;
                let up = rounds && over.unsigned_abs() * 2 >= unit.unsigned_abs();
                Ok(Value::Duration(if up {
                    base.saturating_add(unit * over.signum())
                } else {
                    base
                }))
            }))
        }
        _ => None,
    }
}
