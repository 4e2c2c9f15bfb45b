//! Times and durations between the API's types and the engine's.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A time as the API keeps it: whole seconds.
pub fn api(at: Timestamp) -> Option<Time> {
    Timestamp::from_second(at.as_second()).ok().map(Time)
}

/// A time that the API kept.
pub fn read(at: Option<&Time>) -> Option<Timestamp> {
    at.map(|t| t.0)
}

/// How long ago `then` was; nothing where it lies ahead.
pub fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO)
}
