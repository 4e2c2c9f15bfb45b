//! Durations as Go writes and reads them (`api` 1.4).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time in nanoseconds, written as `1h30m0s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(i64);

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl GoDuration {
    /// From nanoseconds.
    pub const fn from_nanos(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// From whole seconds; beyond 292 years it is that.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// In nanoseconds; negative ones are possible.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// As a span that cannot be negative: what is, becomes zero.
    pub fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let nanos = self.0.unsigned_abs();
        let fraction = |f: &mut fmt::Formatter<'_>, n: u64, unit: u64, name: &str| {
            let (whole, part) = (n / unit, n % unit);
            if part == 0 {
                return write!(f, "{whole}{name}");
            }
            let width = unit.ilog10() as usize;
            let digits = format!("{part:0width$}");
            write!(f, "{whole}.{}{name}", digits.trim_end_matches('0'))
        };
        match nanos {
            0 => f.write_str("0s"),
            n if n < 1_000 => write!(f, "{n}ns"),
            n if n < 1_000_000 => fraction(f, n, 1_000, "µs"),
            n if n < 1_000_000_000 => fraction(f, n, 1_000_000, "ms"),
            n => {
                let minutes = n / 60_000_000_000;
                let (hours, minutes) = (minutes / 60, minutes % 60);
                if hours > 0 {
                    write!(f, "{hours}h{minutes}m")?;
                } else if minutes > 0 {
                    write!(f, "{minutes}m")?;
                }
                fraction(f, n % 60_000_000_000, 1_000_000_000, "s")
            }
        }
    }
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid duration {text:?}; write for example 30s, 5m or 1h30m")]
pub struct DurationError {
    text: String,
    /// It has the form of one, and is longer than 292 years.
    too_long: bool,
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let wrong = || DurationError { text: text.to_owned(), too_long: false };
        let too_long = || DurationError { text: text.to_owned(), too_long: true };
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(wrong());
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let number = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).ok_or_else(wrong)?;
            let (digits, tail) = rest.split_at(number);
            let end = tail.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(tail.len());
            let (name, tail) = tail.split_at(end);
            let unit = UNITS.iter().find(|(n, _)| *n == name).ok_or_else(wrong)?.1;
            let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
            if (whole.is_empty() && part.is_empty()) || part.contains('.') {
                return Err(wrong());
            }
            let whole: i128 =
                if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_long())? };
            total = total
                .checked_add(whole.checked_mul(i128::from(unit)).ok_or_else(too_long)?)
                .ok_or_else(too_long)?;
            let mut scale = i128::from(unit);
            let mut value: i128 = 0;
            for digit in part.bytes().take(18) {
                scale *= 10;
                value = value * 10 + i128::from(digit - b'0');
            }
            if value > 0 {
                let power = scale / i128::from(unit);
                total += value * i128::from(unit) / power;
            }
            if total > i128::from(i64::MAX) + i128::from(negative) {
                return Err(too_long());
            }
            rest = tail;
        }
        let signed = if negative { -total } else { total };
        i64::try_from(signed).map(Self).map_err(|_| wrong())
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    /// The schema's pattern has no upper bound, and one object must not break
    /// the reading of all: what is too long becomes the longest there is.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.parse() {
            Err(DurationError { text, too_long: true }) => {
                Ok(Self(if text.starts_with('-') { i64::MIN } else { i64::MAX }))
            }
            other => other.map_err(de::Error::custom),
        }
    }
}

impl JsonSchema for GoDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use super::GoDuration;

    #[test]
    fn durations_read_and_write_as_go_does() {
        for (text, written) in [
            ("10m", "10m0s"),
            ("1h30m", "1h30m0s"),
            ("1.5h", "1h30m0s"),
            ("1m1m", "2m0s"),
            ("0", "0s"),
            ("26h0m3.456789012s", "26h0m3.456789012s"),
            ("500ms", "500ms"),
            ("-1s", "-1s"),
            (".5s", "500ms"),
            ("+33s", "33s"),
            ("1.5µs", "1.5µs"),
            ("7ns", "7ns"),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), written, "{text}");
        }
        for text in ["5", "1d", "", "s", "1,4s", ".s", "1.2.3s", "99999999999999999999h"] {
            assert!(text.parse::<GoDuration>().is_err(), "{text}");
        }
        let long: GoDuration = serde_json::from_str("\"99999999999999999999h\"").unwrap();
        assert_eq!(long.as_nanos(), i64::MAX);
        assert!(serde_json::from_str::<GoDuration>("\"1d\"").is_err());
    }
}
