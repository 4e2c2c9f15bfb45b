//! When a step is tried again (`api` 3.4).

use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::duration::GoDuration;

/// When a step is tried again.
///
/// The schema takes any text as timeout and any number as threshold, and one
/// object must not break the reading of a whole list: what cannot be read
/// counts as absent, is written as it was, and is told by
/// [`problem`](Self::problem).
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(rename_all = "camelCase", default)]
pub struct PromotionStepRetry {
    /// How long it may take altogether; 0 is without limit.
    pub timeout: Option<GoDuration>,
    /// How many errors end it; 0 is the kind's own.
    #[schemars(extend("format" = "int32"))]
    pub error_threshold: u32,
    /// What could not be read, by field.
    #[schemars(skip)]
    unreadable: Map<String, Value>,
}

impl PromotionStepRetry {
    /// A retry of at most that long and that many errors.
    pub fn new(timeout: Option<GoDuration>, error_threshold: u32) -> Self {
        Self { timeout, error_threshold, unreadable: Map::new() }
    }

    /// What of it could not be read: the field, its value, and what to write.
    /// A step with such a retry must not run as if it had none.
    pub fn problem(&self) -> Option<(&str, &Value, &'static str)> {
        let (field, value) = self.unreadable.iter().next()?;
        let detail = match field.as_str() {
            "timeout" => "must be a duration, for example 30s, 5m or 1h30m",
            _ => "must be a whole number, 0 or more",
        };
        Some((field, value, detail))
    }
}

impl Serialize for PromotionStepRetry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(timeout) = &self.timeout {
            map.serialize_entry("timeout", timeout)?;
        }
        if self.error_threshold > 0 {
            map.serialize_entry("errorThreshold", &self.error_threshold)?;
        }
        for (field, value) in &self.unreadable {
            map.serialize_entry(field, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for PromotionStepRetry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut retry = Self::default();
        for (field, value) in Map::<String, Value>::deserialize(deserializer)? {
            let fits = match field.as_str() {
                _ if value.is_null() => true,
                "timeout" => match GoDuration::deserialize(&value) {
                    Ok(timeout) => {
                        retry.timeout = Some(timeout);
                        true
                    }
                    Err(_) => false,
                },
                "errorThreshold" => match u32::deserialize(&value) {
                    Ok(threshold) => {
                        retry.error_threshold = threshold;
                        true
                    }
                    Err(_) => false,
                },
                _ => true,
            };
            if !fits {
                retry.unreadable.insert(field, value);
            }
        }
        Ok(retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> PromotionStepRetry {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_cannot_be_read_is_kept_and_told() {
        let good = json!({"timeout": "1h0m0s", "errorThreshold": 3});
        assert_eq!(read(good.clone()).problem(), None);
        assert_eq!(serde_json::to_value(read(good)).unwrap()["errorThreshold"], 3);
        for bad in [
            json!({"timeout": "1d"}),
            json!({"errorThreshold": -1}),
            json!({"timeout": "soon", "errorThreshold": 2}),
        ] {
            let retry = read(bad.clone());
            assert!(retry.problem().is_some(), "{bad}");
            assert_eq!(retry.timeout, None);
            assert_eq!(serde_json::to_value(&retry).unwrap(), bad);
        }
        assert_eq!(serde_json::to_value(read(json!({}))).unwrap(), json!({}));
    }
}
