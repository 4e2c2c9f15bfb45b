//! Times and durations as Go has them: layouts, texts, methods.

mod duration;
mod format;
mod layout;
mod methods;
mod parse;

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::error::Error;
use crate::value::Value;

pub(crate) use duration::{duration_method, duration_text, parse_duration};
pub(crate) use format::format;
pub(crate) use methods::{Location, method};

const NANOS: i64 = 1_000_000_000;

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
        Some(layout) => parse::parse(text, layout, zone),
        None => DATE_LAYOUTS
            .iter()
            .find_map(|layout| parse::parse(text, layout, zone).ok())
            .ok_or_else(|| format!("invalid date {text}")),
    }
}
