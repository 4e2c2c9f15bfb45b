//! The methods of `time.Time`.

use std::sync::Arc;

use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::format::{day_name, month_name};
use super::{NANOS, between, format, shift, to_text};
use crate::error::Error;
use crate::function::{Function, FunctionError};
use crate::object::Object;
use crate::value::Value;

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
        match self.0.iana_name() {
            Some(name) => name.to_owned(),
            // A fixed offset has no name.
            None if self.0.to_fixed_offset().is_ok() => String::new(),
            None => "Local".to_owned(),
        }
    }

    fn as_zone(&self) -> Option<&TimeZone> {
        Some(&self.0)
    }
}

pub(super) fn method_of(
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

pub(super) fn duration_argument(args: &[Value]) -> Result<i64, FunctionError> {
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
