//! What subscriptions get and what is refused in them (`admission` 3.4,
//! `warehouses` 1.4, 1.5).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::field_error::FieldError;
use super::warehouse_rules::{is_branch, is_chart_url, is_dns_label, is_git_url, is_image_url};
use crate::subscription::{
    ChartSubscription, DEFAULT_DISCOVERY_LIMIT, GitSubscription, ImageSubscription, Subscription,
    SubscriptionError, SubscriptionKind,
};
use crate::urls::{normalize_chart, normalize_git, normalize_image};

/// A subscription that cannot be given defaults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownSubscription {
    /// Nobody serves its type.
    #[error("no matching registration found")]
    Type {
        /// Which one, from 0.
        index: usize,
    },
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SubscriptionError),
}

/// Gives subscriptions what they leave out: strategy, strictness, limit.
/// Fields that are not known stay as they are.
///
/// # Errors
/// At the first subscription that cannot be read, or whose type nobody serves.
pub fn default_subscriptions(items: &mut [Value]) -> Result<(), UnknownSubscription> {
    for (index, item) in items.iter_mut().enumerate() {
        Subscription::decode(index, item)?;
        let Some((kind, fields)) = typed(item) else {
            return Err(UnknownSubscription::Type { index });
        };
        match kind {
            "git" => {
                fill(fields, "commitSelectionStrategy", json!("NewestFromBranch"));
                fill(fields, "strictSemvers", json!(true));
            }
            "image" => {
                fill(fields, "imageSelectionStrategy", json!("SemVer"));
                fill(fields, "strictSemvers", json!(true));
            }
            _ => {}
        }
        fill(fields, "discoveryLimit", json!(DEFAULT_DISCOVERY_LIMIT));
    }
    Ok(())
}

/// The fields of a subscription of one of the three types.
fn typed(item: &mut Value) -> Option<(&'static str, &mut Map<String, Value>)> {
    let object = item.as_object_mut()?;
    let kind = ["git", "image", "chart"].into_iter().find(|k| object.contains_key(*k))?;
    Some((kind, object.get_mut(kind)?.as_object_mut()?))
}

/// Sets a field that is absent or has its zero value. `strictSemvers` is a
/// pointer upstream: false is a value.
fn fill(fields: &mut Map<String, Value>, key: &str, value: Value) {
    let unset = match fields.get(key) {
        None | Some(Value::Null) => true,
        Some(Value::String(s)) => s.is_empty(),
        Some(Value::Number(n)) => n.as_i64() == Some(0),
        Some(_) => false,
    };
    if unset {
        fields.insert(key.to_owned(), value);
    }
}

/// What the rules need to know from outside.
#[derive(Clone, Copy)]
pub struct WarehouseRules<'a> {
    /// Whether a text is a version constraint.
    pub is_constraint: &'a dyn Fn(&str) -> bool,
    /// Whether images must be cached by tag (policy `Require`).
    pub cache_by_tag_required: bool,
}

/// What is wrong with a Warehouse's subscriptions.
pub fn validate_subscriptions(items: &[Value], rules: WarehouseRules<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (i, item) in items.iter().enumerate() {
        let path = format!("spec.subscriptions[{i}]");
        let subscription = match Subscription::decode(i, item) {
            Ok(subscription) => subscription,
            Err(error) => {
                errors.push(FieldError::invalid(path, item.clone(), error.to_string()));
                continue;
            }
        };
        let (limit, kind) = match &subscription.kind {
            SubscriptionKind::Git(s) => (s.discovery_limit, "git"),
            SubscriptionKind::Image(s) => (s.discovery_limit, "image"),
            SubscriptionKind::Chart(s) => (s.discovery_limit, "chart"),
            SubscriptionKind::Generic(kind, s) => (s.discovery_limit, kind.as_str()),
        };
        let field = |name: &str| format!("{path}.{kind}.{name}");
        let mut unique = |key: String, url: &str, what: &str| {
            if let Some(before) = seen.get(&key) {
                let detail = format!("subscription for {what} already exists at {before:?}");
                return Some(FieldError::invalid(field(kind), url, detail));
            }
            seen.insert(key, format!("{path}.{kind}"));
            None
        };
        match &subscription.kind {
            SubscriptionKind::Git(s) => {
                errors.extend(git(s, rules, &field));
                errors.extend(limit_error(limit, &field));
                let key = format!("git {}", normalize_git(&s.repo_url));
                errors.extend(unique(key, &s.repo_url, "Git repository"));
            }
            SubscriptionKind::Image(s) => {
                errors.extend(image(s, rules, &field));
                errors.extend(limit_error(limit, &field));
                let key = format!("image {}", normalize_image(&s.repo_url));
                errors.extend(unique(key, &s.repo_url, "image repository"));
            }
            SubscriptionKind::Chart(s) => {
                errors.extend(chart(s, rules, &field));
                errors.extend(limit_error(limit, &field));
                let url = normalize_chart(&s.repo_url);
                let is_http = is_http(&s.repo_url);
                let (key, what) = if is_http {
                    (format!("chart {url}:{}", s.name), format!("chart {:?}", s.name))
                } else {
                    (format!("chart {url}"), "chart".to_owned())
                };
                errors.extend(unique(key, &s.repo_url, &what));
            }
            SubscriptionKind::Generic(kind, _) => {
                if kind.is_empty() {
                    errors.push(FieldError::invalid(&*path, "", "must have a minimum length of 1"));
                }
                errors.extend(limit_error(limit, &field));
            }
        }
        errors.extend(name(&subscription, &path, &mut names));
    }
    errors
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

fn limit_error(limit: i64, field: &dyn Fn(&str) -> String) -> Option<FieldError> {
    let detail = match limit {
        1..=100 => return None,
        ..=0 => "must be >= 1",
        _ => "must be <= 100",
    };
    Some(FieldError::invalid(field("discoveryLimit"), limit, detail))
}

fn url_errors(field: String, url: &str, fits: bool, detail: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if url.is_empty() {
        errors.push(FieldError::invalid(&*field, url, "must have a minimum length of 1"));
    }
    if !fits {
        errors.push(FieldError::invalid(field, url, detail));
    }
    errors
}

fn constraint_error(
    field: String,
    constraint: &str,
    rules: WarehouseRules<'_>,
) -> Option<FieldError> {
    (!constraint.is_empty() && !(rules.is_constraint)(constraint))
        .then(|| FieldError::invalid(field, constraint, ""))
}

fn strategy_error(field: String, strategy: &str, known: &[&str]) -> Option<FieldError> {
    (!strategy.is_empty() && !known.contains(&strategy))
        .then(|| FieldError::not_supported(field, strategy, known))
}

fn git(
    s: &GitSubscription,
    rules: WarehouseRules<'_>,
    field: &dyn Fn(&str) -> String,
) -> Vec<FieldError> {
    let detail = "must be a valid Git repository URL";
    let mut errors = url_errors(field("repoURL"), &s.repo_url, is_git_url(&s.repo_url), detail);
    errors.extend(strategy_error(
        field("commitSelectionStrategy"),
        &s.commit_selection_strategy,
        &["Lexical", "NewestFromBranch", "NewestTag", "SemVer"],
    ));
    if !s.branch.is_empty() {
        if s.branch.len() > 255 {
            let detail = "must have a maximum length of 255";
            errors.push(FieldError::invalid(field("branch"), &*s.branch, detail));
        }
        if !is_branch(&s.branch) {
            let detail = "must be a valid branch name";
            errors.push(FieldError::invalid(field("branch"), &*s.branch, detail));
        }
    }
    errors.extend(constraint_error(field("semverConstraint"), &s.semver_constraint, rules));
    errors
}

fn image(
    s: &ImageSubscription,
    rules: WarehouseRules<'_>,
    field: &dyn Fn(&str) -> String,
) -> Vec<FieldError> {
    let detail = "must be a valid image repository URL";
    let mut errors = url_errors(field("repoURL"), &s.repo_url, is_image_url(&s.repo_url), detail);
    let strategy = s.image_selection_strategy.as_str();
    errors.extend(strategy_error(
        field("imageSelectionStrategy"),
        strategy,
        &["Digest", "Lexical", "NewestBuild", "SemVer"],
    ));
    match strategy {
        "Digest" if s.constraint.is_empty() => errors.push(FieldError::invalid(
            field("constraint"),
            "",
            "must be set when imageSelectionStrategy is Digest",
        )),
        "" | "SemVer" => {
            errors.extend(constraint_error(field("constraint"), &s.constraint, rules));
        }
        _ => {}
    }
    if !s.platform.is_empty() && !s.platform.contains('/') {
        let detail = "must be in format <os>/<arch>";
        errors.push(FieldError::invalid(field("platform"), &*s.platform, detail));
    }
    if rules.cache_by_tag_required && strategy != "Digest" && !s.cache_by_tag {
        errors.push(FieldError::invalid(
            field("cacheByTag"),
            false,
            "caching image metadata by tag is required by controller configuration; enable with \
             caution as this feature is safe only for subscriptions not involving \"mutable\" tags",
        ));
    }
    errors
}

fn chart(
    s: &ChartSubscription,
    rules: WarehouseRules<'_>,
    field: &dyn Fn(&str) -> String,
) -> Vec<FieldError> {
    let detail = "must be a valid Helm repository URL";
    let mut errors = url_errors(field("repoURL"), &s.repo_url, is_chart_url(&s.repo_url), detail);
    if s.repo_url.starts_with("oci://") && !s.name.is_empty() {
        let detail = "must be empty if repoURL starts with oci://";
        errors.push(FieldError::invalid(field("name"), &*s.name, detail));
    }
    if is_http(&s.repo_url) && s.name.is_empty() {
        let detail = "must be non-empty if repoURL starts with http:// or https://";
        errors.push(FieldError::invalid(field("name"), "", detail));
    }
    errors.extend(constraint_error(field("semverConstraint"), &s.semver_constraint, rules));
    errors
}

fn name(
    subscription: &Subscription,
    path: &str,
    names: &mut BTreeMap<String, String>,
) -> Vec<FieldError> {
    let field = format!("{path}.name");
    let name = subscription.name.as_str();
    if name.is_empty() {
        return match subscription.kind {
            SubscriptionKind::Generic(..) => vec![FieldError::required(
                field,
                "a name is required for subscriptions of this type",
            )],
            _ => Vec::new(),
        };
    }
    let mut errors = Vec::new();
    if name.len() > 63 {
        errors.push(FieldError::invalid(&*field, name, "must be no more than 63 bytes"));
    }
    if !is_dns_label(name) {
        errors.push(FieldError::invalid(
            &*field,
            name,
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
             '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
             '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ));
    }
    if let Some(before) = names.get(name) {
        let detail = format!("subscription name {name:?} already used at {before:?}");
        errors.push(FieldError::invalid(field, name, detail));
    } else {
        names.insert(name.to_owned(), path.to_owned());
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(mut items: Vec<Value>) -> Vec<(String, String)> {
        // What cannot be given defaults is judged as it is.
        let _ = default_subscriptions(&mut items);
        let rules = WarehouseRules {
            is_constraint: &|text| text.starts_with(['^', '1']),
            cache_by_tag_required: false,
        };
        validate_subscriptions(&items, rules).into_iter().map(|e| (e.field, e.detail)).collect()
    }

    fn fields(items: Vec<Value>) -> Vec<String> {
        errors(items).into_iter().map(|e| e.0).collect()
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let mut items = vec![
            json!({"git": {"repoURL": "https://x/y", "unknown": 1}}),
            json!({"image": {"repoURL": "x", "strictSemvers": false, "discoveryLimit": 0}}),
            json!({"chart": {"repoURL": "oci://x/y", "discoveryLimit": 3}}),
        ];
        default_subscriptions(&mut items).unwrap();
        assert_eq!(
            items,
            [
                // spec: admission/A42
                json!({"git": {
                    "repoURL": "https://x/y", "unknown": 1, "strictSemvers": true,
                    "commitSelectionStrategy": "NewestFromBranch", "discoveryLimit": 20,
                }}),
                // spec: admission/A43 api/subscriptions-S7
                json!({"image": {
                    "repoURL": "x", "strictSemvers": false,
                    "imageSelectionStrategy": "SemVer", "discoveryLimit": 20,
                }}),
                json!({"chart": {"repoURL": "oci://x/y", "discoveryLimit": 3}}),
            ]
        );
        for unserved in [json!({"s3": {}}), json!({"name": "n", "s3": {}}), json!({"git": null})] {
            let error = default_subscriptions(&mut [unserved]).unwrap_err();
            assert_eq!(error.to_string(), "no matching registration found", "admission/A52");
        }
        assert!(default_subscriptions(&mut [json!("x")]).is_err());
    }

    #[test]
    fn one_subscription_a_repository() {
        let git = |url: &str| json!({"git": {"repoURL": url}});
        let image = |url: &str| json!({"image": {"repoURL": url}});
        let chart = |url: &str, name: &str| json!({"chart": {"repoURL": url, "name": name}});
        let base = "https://github.com/example/repo";
        // spec: admission/A46 api/subscriptions-S4
        assert_eq!(
            errors(vec![git(base), git(&format!("{base}.git"))]),
            [(
                "spec.subscriptions[1].git.git".to_owned(),
                "subscription for Git repository already exists at \"spec.subscriptions[0].git\""
                    .to_owned()
            )]
        );
        let cases = [
            (
                "admission/A47",
                vec![image("nginx"), image("docker.io/library/nginx")],
                vec!["spec.subscriptions[1].image.image"],
            ),
            (
                "admission/A48",
                vec![chart("https://example.com", "a"), chart("https://example.com", "b")],
                vec![],
            ),
            (
                "admission/A48",
                vec![chart("https://example.com", "a"), chart("https://example.com", "a")],
                vec!["spec.subscriptions[1].chart.chart"],
            ),
            (
                "admission/A49",
                vec![chart("oci://example.com/a", ""), chart("oci://example.com/a", "")],
                vec!["spec.subscriptions[1].chart.chart"],
            ),
        ];
        for (case, items, wanted) in cases {
            assert_eq!(fields(items), wanted, "{case}");
        }
    }

    #[test]
    fn names_are_labels_and_unique() {
        let named = |name: &str, url: &str| json!({"name": name, "image": {"repoURL": url}});
        let name_at = |i: usize| format!("spec.subscriptions[{i}].name");
        // spec: admission/A50 api/subscriptions-S5
        assert_eq!(
            errors(vec![named("same", "a"), named("same", "b")]),
            [(
                name_at(1),
                "subscription name \"same\" already used at \"spec.subscriptions[0]\"".to_owned()
            )]
        );
        let cases = [
            ("api/subscriptions-S6", named("Foo_bar", "a"), vec![name_at(0)]),
            ("admission/A51", named("Not_Valid", "a"), vec![name_at(0)]),
            ("admission/A51", named(&"a".repeat(64), "a"), vec![name_at(0)]),
            ("63 fit", named(&"a".repeat(63), "a"), vec![]),
            ("a generic one needs a name", json!({"s3": {"discoveryLimit": 1}}), vec![name_at(0)]),
        ];
        for (case, item, wanted) in cases {
            assert_eq!(fields(vec![item]), wanted, "{case}");
        }
    }

    #[test]
    fn fields_of_each_type() {
        let at = |field: &str| format!("spec.subscriptions[0].{field}");
        let git = |extra: Value| {
            let mut fields = json!({"repoURL": "https://x/y"});
            fields.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            json!({ "git": fields })
        };
        let image = |extra: Value| {
            let mut fields = json!({"repoURL": "x"});
            fields.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            json!({ "image": fields })
        };
        type Errors = Vec<(&'static str, &'static str)>;
        let cases: Vec<(&str, Value, Errors)> = vec![
            (
                "api/subscriptions-S7",
                image(json!({"discoveryLimit": 101})),
                vec![("image.discoveryLimit", "must be <= 100")],
            ),
            (
                "admission/A44",
                git(json!({"discoveryLimit": 101})),
                vec![("git.discoveryLimit", "must be <= 100")],
            ),
            (
                "admission/A45",
                git(json!({"semverConstraint": "bogus"})),
                vec![("git.semverConstraint", "")],
            ),
            ("admission/A45", git(json!({"semverConstraint": "^1.0.0"})), vec![]),
            (
                "a strategy that there is not",
                git(json!({"commitSelectionStrategy": "X"})),
                vec![(
                    "git.commitSelectionStrategy",
                    "supported values: \"Lexical\", \"NewestFromBranch\", \"NewestTag\", \"SemVer\"",
                )],
            ),
            (
                "a branch",
                git(json!({"branch": "/foo"})),
                vec![("git.branch", "must be a valid branch name")],
            ),
            (
                "no address",
                json!({"git": {}}),
                vec![
                    ("git.repoURL", "must have a minimum length of 1"),
                    ("git.repoURL", "must be a valid Git repository URL"),
                ],
            ),
            (
                "Digest follows a tag",
                image(json!({"imageSelectionStrategy": "Digest"})),
                vec![("image.constraint", "must be set when imageSelectionStrategy is Digest")],
            ),
            (
                "a platform",
                image(json!({"platform": "linux"})),
                vec![("image.platform", "must be in format <os>/<arch>")],
            ),
            ("a variant", image(json!({"platform": "linux/arm/v7"})), vec![]),
            (
                "a chart in an OCI repository has no name",
                json!({"chart": {"repoURL": "oci://x/y", "name": "n"}}),
                vec![("chart.name", "must be empty if repoURL starts with oci://")],
            ),
            (
                "a chart elsewhere has one",
                json!({"chart": {"repoURL": "https://x"}}),
                vec![(
                    "chart.name",
                    "must be non-empty if repoURL starts with http:// or https://",
                )],
            ),
        ];
        for (case, item, wanted) in cases {
            let wanted: Vec<(String, String)> =
                wanted.into_iter().map(|(f, d)| (at(f), d.to_owned())).collect();
            assert_eq!(errors(vec![item]), wanted, "{case}");
        }
        let long = format!("a{}", "b".repeat(255));
        let chart = |extra: Value| {
            let mut fields = json!({"repoURL": "oci://x/y"});
            fields.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            json!({ "chart": fields })
        };
        let more: Vec<(Value, Errors)> = vec![
            (
                git(json!({"branch": long})),
                vec![("git.branch", "must have a maximum length of 255")],
            ),
            (git(json!({"branch": &long[..255]})), vec![]),
            (
                git(json!({"repoURL": "/etc/passwd"})),
                vec![("git.repoURL", "must be a valid Git repository URL")],
            ),
            (git(json!({"discoveryLimit": -1})), vec![("git.discoveryLimit", "must be >= 1")]),
            (
                image(json!({"repoURL": ""})),
                vec![
                    ("image.repoURL", "must have a minimum length of 1"),
                    ("image.repoURL", "must be a valid image repository URL"),
                ],
            ),
            (
                image(json!({"repoURL": "a:tag"})),
                vec![("image.repoURL", "must be a valid image repository URL")],
            ),
            (
                image(json!({"imageSelectionStrategy": "Newest"})),
                vec![(
                    "image.imageSelectionStrategy",
                    "supported values: \"Digest\", \"Lexical\", \"NewestBuild\", \"SemVer\"",
                )],
            ),
            (image(json!({"constraint": "bogus"})), vec![("image.constraint", "")]),
            (
                image(json!({"imageSelectionStrategy": "SemVer", "constraint": "bogus"})),
                vec![("image.constraint", "")],
            ),
            (image(json!({"imageSelectionStrategy": "Lexical", "constraint": "bogus"})), vec![]),
            (image(json!({"imageSelectionStrategy": "Digest", "constraint": "latest"})), vec![]),
            (
                chart(json!({"repoURL": ""})),
                vec![
                    ("chart.repoURL", "must have a minimum length of 1"),
                    ("chart.repoURL", "must be a valid Helm repository URL"),
                ],
            ),
            (
                chart(json!({"repoURL": "ftp://x"})),
                vec![("chart.repoURL", "must be a valid Helm repository URL")],
            ),
            (chart(json!({"semverConstraint": "bogus"})), vec![("chart.semverConstraint", "")]),
            (
                chart(json!({"discoveryLimit": 101})),
                vec![("chart.discoveryLimit", "must be <= 100")],
            ),
            (
                json!({"name": "n", "s3": {"discoveryLimit": 101}}),
                vec![("s3.discoveryLimit", "must be <= 100")],
            ),
        ];
        for (item, wanted) in more {
            let wanted: Vec<(String, String)> =
                wanted.into_iter().map(|(f, d)| (at(f), d.to_owned())).collect();
            assert_eq!(errors(vec![item.clone()]), wanted, "{item}");
        }
        assert_eq!(
            errors(vec![json!({"name": "n", "": {"discoveryLimit": 1}})]),
            [("spec.subscriptions[0]".to_owned(), "must have a minimum length of 1".to_owned())]
        );
        // spec: admission/A44: the webhook that gives defaults did not run.
        let rules = WarehouseRules { is_constraint: &|_| true, cache_by_tag_required: true };
        let raw = validate_subscriptions(&[image(json!({}))], rules);
        let details: Vec<&str> = raw.iter().map(|e| &*e.detail).collect();
        assert!(details[0].starts_with("caching image metadata by tag is required"), "{details:?}");
        assert_eq!(details[1], "must be >= 1");
        let digest = json!({
            "imageSelectionStrategy": "Digest", "constraint": "latest", "discoveryLimit": 1,
        });
        assert_eq!(validate_subscriptions(&[image(digest)], rules), [], "Digest is exempt");
    }

    #[test]
    fn the_shard_label_follows_the_field() {
        use super::super::default_shard;
        let mut metadata = crate::Warehouse::default().metadata;
        default_shard(&mut metadata, "s");
        assert_eq!(metadata.labels.as_ref().unwrap()[crate::labels::SHARD], "s", "admission/A40");
        default_shard(&mut metadata, "");
        assert!(metadata.labels.unwrap().is_empty(), "admission/A41");
    }
}
