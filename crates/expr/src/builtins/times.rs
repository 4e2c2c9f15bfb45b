//! Built-ins for times and durations.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::{Builtin, Group, argument, builtin, text};
use crate::budget::Budget;
use crate::error::Error;
use crate::eval::Outcome;
use crate::object::Object;
use crate::time;
use crate::value::Value;

pub(super) const GROUP: Group = Group {
    title: "Times",
    builtins: &[
        Builtin {
            name: "now",
            signature: "now([zone])",
            doc: "The current time.",
            example: "now().Year() >= 2024",
            result: Some("true"),
            min: 0,
            max: 1,
            body: Some(now),
        },
        builtin(
            "duration",
            "duration(text)",
            (1, 1),
            duration,
            "A length of time in the units `ns`, `us`, `ms`, `s`, `m`, `h`.",
            "duration('1h30m').Minutes()",
            "90",
        ),
        builtin(
            "date",
            "date(text[, layout[, zone]])",
            (1, 4),
            date,
            "A point in time. Without a layout, ISO dates and times, RFC 3339, RFC 822, RFC 850 and RFC 1123 are read; a layout is Go's.",
            "date('2024-02-29').Format('02 Jan 2006')",
            r#""29 Feb 2024""#,
        ),
        builtin(
            "timezone",
            "timezone(name)",
            (1, 1),
            timezone,
            "A time zone by its name.",
            "date('2024-07-01 12:00', '2006-01-02 15:04', 'Europe/Berlin').In(timezone('UTC')).Hour()",
            "10",
        ),
    ],
};

fn zone_of(value: &Value) -> Option<&TimeZone> {
    value.as_object().and_then(Object::as_zone)
}

fn now(args: &[Value], _: &mut Budget) -> Outcome {
    let zone = match args.first() {
        Some(value) => {
            zone_of(value).cloned().ok_or_else(|| crate::ops::not_a(value, "*time.Location"))?
        }
        None => TimeZone::system(),
    };
    Ok(jiff::Timestamp::now().to_zoned(zone).into())
}

fn duration(args: &[Value], _: &mut Budget) -> Outcome {
    time::parse_duration(text(args, 0)?).map(Value::Duration).map_err(Error::run)
}

fn date(args: &[Value], _: &mut Budget) -> Outcome {
    let (zone, args) = match args.split_first() {
        Some((first, rest)) if zone_of(first).is_some() => {
            (zone_of(first).cloned().unwrap_or(TimeZone::UTC), rest)
        }
        _ => (TimeZone::UTC, args),
    };
    let date = argument(args, 0);
    if let Value::Time(_) = date {
        return Ok(date.clone());
    }
    let layout = if args.len() > 1 { Some(text(args, 1)?) } else { None };
    let zone = if args.len() > 2 { time::zone(text(args, 2)?).map_err(Error::run)? } else { zone };
    time::parse_date(text(args, 0)?, layout, &zone).map(Value::from).map_err(Error::run)
}

fn timezone(args: &[Value], _: &mut Budget) -> Outcome {
    let zone = time::zone(text(args, 0)?).map_err(Error::run)?;
    Ok(Value::Object(Arc::new(time::Location(zone))))
}
