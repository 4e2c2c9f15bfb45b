//! What a Warehouse watches: its subscriptions, read from the opaque items of
//! its spec (`api` 4.3).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What Git URLs look like (searched, not matched whole).
pub const GIT_URL: &str = r"(?:^(ssh|https?)://(?:([\w-]+)(:(.+))?@)?([\w-]+(?:\.[\w-]+)*)(?::(\d{1,5}))?(/.*)$)|(?:^([\w-]+)@([\w+]+(?:\.[\w-]+)*):(/?.*))";

/// How many artifacts a subscription keeps unless it says otherwise.
pub const DEFAULT_DISCOVERY_LIMIT: i64 = 20;

/// One thing that a Warehouse watches.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// Its name, if it has one.
    pub name: String,
    /// What it watches.
    pub kind: SubscriptionKind,
}

/// What a subscription watches.
#[derive(Clone, Debug, PartialEq)]
pub enum SubscriptionKind {
    /// A Git repository.
    Git(GitSubscription),
    /// An image repository.
    Image(ImageSubscription),
    /// A chart repository.
    Chart(ChartSubscription),
    /// Anything else, by the name of its type.
    Generic(String, GenericSubscription),
}

/// Commits of a Git repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GitSubscription {
    /// The repository.
    #[serde(rename = "repoURL")]
    pub repo_url: String,
    /// How commits are selected: Lexical, NewestFromBranch, NewestTag, SemVer.
    pub commit_selection_strategy: String,
    /// The branch.
    pub branch: String,
    /// Whether versions need all three parts. Unset is true.
    pub strict_semvers: Option<bool>,
    /// What versions must meet.
    pub semver_constraint: String,
    /// Tags must match one of these.
    pub allow_tags_regexes: Vec<String>,
    /// Tags must match none of these.
    pub ignore_tags_regexes: Vec<String>,
    /// Deprecated.
    pub allow_tags: String,
    /// Deprecated.
    pub ignore_tags: Vec<String>,
    /// An expression that commits or tags must meet.
    pub expression_filter: String,
    /// Paths of which one must have changed.
    pub include_paths: Vec<String>,
    /// Paths whose changes do not count.
    pub exclude_paths: Vec<String>,
    /// Whether any certificate will do.
    #[serde(rename = "insecureSkipTLSVerify")]
    pub insecure_skip_tls_verify: bool,
    /// Whether to fetch without file contents.
    pub blobless: bool,
    /// Commits before this time do not count (RFC 3339).
    pub since: String,
    /// How many are kept; 0 is [`DEFAULT_DISCOVERY_LIMIT`].
    pub discovery_limit: i64,
}

/// Images of a repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ImageSubscription {
    /// The repository, without a tag.
    #[serde(rename = "repoURL")]
    pub repo_url: String,
    /// How images are selected: Digest, Lexical, NewestBuild, SemVer.
    pub image_selection_strategy: String,
    /// Whether versions need all three parts. Unset is true.
    pub strict_semvers: Option<bool>,
    /// What versions must meet; for Digest the tag that is followed.
    pub constraint: String,
    /// Tags must match one of these.
    pub allow_tags_regexes: Vec<String>,
    /// Tags must match none of these.
    pub ignore_tags_regexes: Vec<String>,
    /// Deprecated.
    pub allow_tags: String,
    /// Deprecated.
    pub ignore_tags: Vec<String>,
    /// Renamed to `constraint` long ago; has no effect.
    pub semver_constraint: String,
    /// `os/arch` or `os/arch/variant`.
    pub platform: String,
    /// Whether any certificate will do.
    #[serde(rename = "insecureSkipTLSVerify")]
    pub insecure_skip_tls_verify: bool,
    /// Whether a tag, once read, is known for good.
    pub cache_by_tag: bool,
    /// How many are kept; 0 is [`DEFAULT_DISCOVERY_LIMIT`].
    pub discovery_limit: i64,
}

/// Versions of a chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ChartSubscription {
    /// The repository: `https://…` or `oci://…`.
    #[serde(rename = "repoURL")]
    pub repo_url: String,
    /// The chart's name; empty in an OCI repository.
    pub name: String,
    /// What versions must meet.
    pub semver_constraint: String,
    /// Whether any certificate will do.
    #[serde(rename = "insecureSkipTLSVerify")]
    pub insecure_skip_tls_verify: bool,
    /// How many are kept; 0 is [`DEFAULT_DISCOVERY_LIMIT`].
    pub discovery_limit: i64,
}

/// Anything else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GenericSubscription {
    /// What its subscriber wants to know.
    pub config: Option<Value>,
    /// How many are kept; 0 is [`DEFAULT_DISCOVERY_LIMIT`].
    pub discovery_limit: i64,
}

/// A subscription that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// Not an object with one key that names its type.
    #[error(
        "subscription at index {index} must have exactly one top-level field naming its type, \
         apart from an optional \"name\" field, but has {count}"
    )]
    Type {
        /// Which one, from 0.
        index: usize,
        /// How many such keys it has.
        count: usize,
    },
    /// A field of the wrong type.
    #[error("subscription at index {index}: {problem}")]
    Field {
        /// Which one, from 0.
        index: usize,
        /// What is wrong.
        problem: String,
    },
}

impl Subscription {
    /// Reads the item at `index` of a Warehouse's subscriptions.
    ///
    /// # Errors
    /// When it does not have exactly one key that names its type, or a field
    /// has the wrong type.
    pub fn decode(index: usize, item: &Value) -> Result<Self, SubscriptionError> {
        let empty = Map::new();
        let object = item.as_object().unwrap_or(&empty);
        let mut types = object.iter().filter(|(key, _)| *key != "name");
        let (Some((key, body)), None) = (types.next(), types.next()) else {
            let count = object.keys().filter(|key| *key != "name").count();
            return Err(SubscriptionError::Type { index, count });
        };
        let wrong = |problem: String| SubscriptionError::Field { index, problem };
        let name = match object.get("name") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(name)) => name.clone(),
            Some(other) => return Err(wrong(format!("name must be a text, not {other}"))),
        };
        // Null is as good as absent, as in Go.
        let fields = match body {
            Value::Null => Map::new(),
            Value::Object(fields) => fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            other => return Err(wrong(format!("{key} must be an object, not {other}"))),
        };
        fn read<T: serde::de::DeserializeOwned>(
            index: usize,
            fields: Map<String, Value>,
        ) -> Result<T, SubscriptionError> {
            T::deserialize(Value::Object(fields))
                .map_err(|e| SubscriptionError::Field { index, problem: e.to_string() })
        }
        let kind = match key.as_str() {
            "git" => SubscriptionKind::Git(read(index, fields)?),
            "image" => SubscriptionKind::Image(read(index, fields)?),
            "chart" => SubscriptionKind::Chart(read(index, fields)?),
            other => SubscriptionKind::Generic(other.to_owned(), read(index, fields)?),
        };
        Ok(Self { name, kind })
    }

    /// Reads all subscriptions of a Warehouse.
    ///
    /// # Errors
    /// That of the first that cannot be read.
    pub fn decode_all(items: &[Value]) -> Result<Vec<Self>, SubscriptionError> {
        items.iter().enumerate().map(|(index, item)| Self::decode(index, item)).collect()
    }

    /// The item as a Warehouse holds it: the name beside the type.
    pub fn encode(&self) -> Value {
        let (key, body) = match &self.kind {
            SubscriptionKind::Git(s) => ("git", serde_json::to_value(s)),
            SubscriptionKind::Image(s) => ("image", serde_json::to_value(s)),
            SubscriptionKind::Chart(s) => ("chart", serde_json::to_value(s)),
            SubscriptionKind::Generic(key, s) => (key.as_str(), serde_json::to_value(s)),
        };
        let mut object = Map::new();
        if !self.name.is_empty() {
            object.insert("name".to_owned(), Value::from(self.name.clone()));
        }
        let mut body = body.unwrap_or_default();
        if let Value::Object(fields) = &mut body {
            fields.retain(|_, v| match v {
                Value::Null | Value::Bool(false) => false,
                Value::String(s) => !s.is_empty(),
                Value::Array(a) => !a.is_empty(),
                Value::Number(n) => n.as_i64() != Some(0),
                _ => true,
            });
        }
        object.insert(key.to_owned(), body);
        Value::Object(object)
    }
}

/// A subscription's limit as it is meant: 0 is the default.
pub fn discovery_limit(limit: i64) -> usize {
    usize::try_from(limit)
        .ok()
        .filter(|l| *l > 0)
        .unwrap_or(DEFAULT_DISCOVERY_LIMIT as usize)
        .min(100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_are_read_by_their_one_type() {
        // spec: api/subscriptions-S1
        for item in [
            json!({"git": {"repoURL": "https://x/y"}}),
            json!({"image": {"repoURL": "x"}}),
            json!({"chart": {"repoURL": "https://x"}}),
            json!({"s3": {}}),
            json!({"name": "n", "git": {"repoURL": "https://x/y"}}),
            json!({"name": "n", "s3": {"config": {}}}),
        ] {
            assert!(Subscription::decode(0, &item).is_ok(), "{item}");
        }
        // spec: api/subscriptions-S2
        for item in [
            json!({}),
            json!({"name": "n"}),
            json!({"git": {}, "image": {}}),
            json!({"name": "n", "git": {}, "image": {}}),
            json!("x"),
            json!([1]),
        ] {
            let error = Subscription::decode(3, &item).unwrap_err().to_string();
            assert!(error.starts_with("subscription at index 3 must have exactly one"), "{error}");
        }
        // spec: warehouses 1.2, the cases that the page adds.
        for item in [
            json!({"s3": "x"}),
            json!({"git": ["https://x/y"]}),
            json!({"name": 5, "git": {}}),
            json!({"git": {"branch": 5}}),
        ] {
            let error = Subscription::decode(3, &item).unwrap_err().to_string();
            assert!(error.starts_with("subscription at index 3: "), "{error}");
        }
        let nulls = json!({"name": null, "git": {"repoURL": "https://x/y", "branch": null}});
        let nulls = Subscription::decode(0, &nulls).unwrap();
        assert_eq!(nulls.encode(), json!({"git": {"repoURL": "https://x/y"}}));
        assert!(Subscription::decode(0, &json!({"git": null})).is_ok());
        // spec: api/subscriptions-S3
        let generic = Subscription::decode(0, &json!({"name": "n", "s3": {"config": {"a": 1}}}));
        assert_eq!(generic.unwrap().encode(), json!({"name": "n", "s3": {"config": {"a": 1}}}));
        // spec: api/subscriptions-S8
        let old =
            Subscription::decode(0, &json!({"image": {"repoURL": "x", "semverConstraint": "^1"}}));
        let SubscriptionKind::Image(image) = old.unwrap().kind else { panic!("not an image") };
        assert_eq!((image.constraint.as_str(), image.semver_constraint.as_str()), ("", "^1"));
        // spec: api/subscriptions-S9
        let capital = Subscription::decode(0, &json!({"Git": {}})).unwrap();
        assert!(matches!(capital.kind, SubscriptionKind::Generic(key, _) if key == "Git"));
    }

    #[test]
    fn the_cases_of_the_wire_format() {
        let git = json!({"repoURL": "https://x/y"});
        let several = |count: usize| {
            Err(format!(
                "subscription at index 0 must have exactly one top-level field naming its type, \
                 apart from an optional \"name\" field, but has {count}"
            ))
        };
        let read = |name: &str, kind: &str| Ok((name.to_owned(), kind.to_owned()));
        for (case, item, wanted) in [
            ("warehouses/1.2-1", json!({}), several(0)),
            ("warehouses/1.2-2", json!({"name": "x"}), several(0)),
            ("warehouses/1.2-3", json!({"git": git, "image": {}}), several(2)),
            ("warehouses/1.2-3", json!({"name": "x", "git": git, "image": {}}), several(2)),
            ("warehouses/1.2-4", json!("str"), several(0)),
            ("warehouses/1.2-5", json!([[git]]), several(0)),
            ("warehouses/1.2-6", json!({"s3": {"config": {"bucket": "b"}}}), read("", "s3")),
            ("warehouses/1.2-7", json!({"name": "x", "git": git}), read("x", "git")),
            // Without any type upstream; here one without a repository, which
            // the defaults refuse likewise (admission/A52).
            ("warehouses/1.2-9", json!({"git": null}), read("", "git")),
            (
                "warehouses/1.2-10",
                json!({"s3": "x"}),
                Err("subscription at index 0: s3 must be an object, not \"x\"".to_owned()),
            ),
            ("warehouses/1.2-11", json!({"Git": git}), read("", "Git")),
        ] {
            let got = Subscription::decode(0, &item).map(|s| {
                let kind = match s.kind {
                    SubscriptionKind::Git(_) => "git".to_owned(),
                    SubscriptionKind::Image(_) => "image".to_owned(),
                    SubscriptionKind::Chart(_) => "chart".to_owned(),
                    SubscriptionKind::Generic(kind, _) => kind,
                };
                (s.name, kind)
            });
            assert_eq!(got.map_err(|e| e.to_string()), wanted, "{case}");
        }
        assert_eq!(Subscription::decode_all(&[]), Ok(Vec::new()), "warehouses/1.2-8");
        let refused = crate::admission::default_subscriptions(&mut [json!({"git": null})]);
        assert!(refused.is_err(), "warehouses/1.2-9");
    }
}
