//! What a request is about: its path and query, read into values.

use super::failure::Failure;

/// What the path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/<group>`.
    Group(String),
    /// `/apis/<group>/<version>` or `/api/v1`.
    Resources(String, String),
    /// Objects, or one object, or a subresource of one.
    Objects(Place),
    /// `/version`.
    Version,
    /// `/openapi/v2`.
    OpenApi2,
    /// `/openapi/v3`.
    OpenApi3,
    /// `/openapi/v3/apis/<group>/<version>`.
    OpenApi3Of(String, String),
    /// `/healthz`, `/livez` or `/readyz`.
    Health,
    /// Anything else.
    Unknown,
}

/// Where objects stand in the tree of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Resource.
    pub plural: String,
    /// Namespace, if one is given.
    pub namespace: Option<String>,
    /// Name, if one is given.
    pub name: Option<String>,
    /// Subresource, if one is given.
    pub subresource: Option<String>,
}

/// Reads a path.
pub fn target(path: &str) -> Target {
    let decoded: Vec<String> =
        path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["api"] => Target::CoreVersions,
        ["apis"] => Target::Groups,
        ["apis", group] => Target::Group((*group).to_owned()),
        ["api", version, rest @ ..] => objects("", version, rest),
        ["apis", group, version, rest @ ..] => objects(group, version, rest),
        ["version"] => Target::Version,
        ["openapi", "v2"] => Target::OpenApi2,
        ["openapi", "v3"] => Target::OpenApi3,
        ["openapi", "v3", "api", version] => {
            Target::OpenApi3Of(String::new(), (*version).to_owned())
        }
        ["openapi", "v3", "apis", group, version] => {
            Target::OpenApi3Of((*group).to_owned(), (*version).to_owned())
        }
        ["healthz" | "livez" | "readyz", ..] => Target::Health,
        _ => Target::Unknown,
    }
}

fn decode(part: &str) -> String {
    // The form decoder also turns `+` into a space, which stands for itself in a path.
    let escaped = format!("p={}", part.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn objects(group: &str, version: &str, rest: &[&str]) -> Target {
    let place =
        |namespace: Option<&str>, plural: &str, name: Option<&str>, subresource: Option<String>| {
            Target::Objects(Place {
                group: group.to_owned(),
                version: version.to_owned(),
                plural: plural.to_owned(),
                namespace: namespace.map(str::to_owned),
                name: name.map(str::to_owned),
                subresource,
            })
        };
    match rest {
        [] => Target::Resources(group.to_owned(), version.to_owned()),
        ["namespaces", name, sub @ ("status" | "finalize")] if group.is_empty() => {
            place(None, "namespaces", Some(name), Some((*sub).to_owned()))
        }
        ["namespaces", namespace, plural] => place(Some(namespace), plural, None, None),
        ["namespaces", namespace, plural, name] => place(Some(namespace), plural, Some(name), None),
        ["namespaces", namespace, plural, name, sub @ ..] => {
            place(Some(namespace), plural, Some(name), Some(sub.join("/")))
        }
        [plural] => place(None, plural, None, None),
        [plural, name] => place(None, plural, Some(name), None),
        [plural, name, sub @ ..] => place(None, plural, Some(name), Some(sub.join("/"))),
    }
}

/// What to do about fields that are not in the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and warn.
    #[default]
    Warn,
    /// Refuse the object.
    Strict,
}

/// What the query says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// `labelSelector`.
    pub labels: String,
    /// `fieldSelector`.
    pub fields: String,
    /// `limit`; 0 for none.
    pub limit: usize,
    /// `continue`.
    pub token: String,
    /// `resourceVersion`.
    pub version: String,
    /// `resourceVersionMatch`.
    pub version_match: String,
    /// `watch`.
    pub watch: bool,
    /// `allowWatchBookmarks`.
    pub bookmarks: bool,
    /// `sendInitialEvents`.
    pub initial: bool,
    /// `timeoutSeconds`.
    pub timeout: Option<u64>,
    /// `fieldManager`.
    pub manager: String,
    /// `force`.
    pub force: bool,
    /// `dryRun=All`.
    pub dry_run: bool,
    /// `fieldValidation`.
    pub validation: FieldValidation,
    /// `propagationPolicy`.
    pub propagation: Option<String>,
    /// `includeObject`.
    pub include_object: String,
}

/// 422 for an option's value.
fn unsupported(option: &str, value: &str, known: &str) -> Failure {
    let message = format!(
        "options.meta.k8s.io \"\" is invalid: {option}: Unsupported value: {value:?}: supported values: {known}"
    );
    Failure::new(422, "Invalid", message)
}

impl Query {
    /// Reads a query string.
    ///
    /// # Errors
    /// 400 for a value that cannot be read.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let mut query = Self::default();
        for (key, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let value = value.into_owned();
            let flag = || matches!(value.as_str(), "" | "true" | "1" | "True");
            let number = || {
                value.parse::<u64>().map_err(|_| {
                    Failure::bad_request(format!(
                        "invalid value {value:?} for {key}: not a whole number"
                    ))
                })
            };
            match &*key {
                "labelSelector" => query.labels = value,
                "fieldSelector" => query.fields = value,
                "limit" => query.limit = usize::try_from(number()?).unwrap_or(usize::MAX),
                "continue" => query.token = value,
                "resourceVersion" => query.version = value,
                "resourceVersionMatch" => query.version_match = value,
                "watch" => query.watch = flag(),
                "allowWatchBookmarks" => query.bookmarks = flag(),
                "sendInitialEvents" => query.initial = flag(),
                "timeoutSeconds" => query.timeout = Some(number()?).filter(|seconds| *seconds > 0),
                "fieldManager" => query.manager = value,
                "force" => query.force = flag(),
                "dryRun" => match value.as_str() {
                    "All" => query.dry_run = true,
                    "" => {}
                    other => {
                        return Err(unsupported("dryRun", other, "\"All\""));
                    }
                },
                "fieldValidation" => {
                    query.validation = match value.as_str() {
                        "Ignore" => FieldValidation::Ignore,
                        "Warn" | "" => FieldValidation::Warn,
                        "Strict" => FieldValidation::Strict,
                        other => {
                            let known = "\"Ignore\", \"Strict\", \"Warn\"";
                            return Err(unsupported("fieldValidation", other, known));
                        }
                    }
                }
                "propagationPolicy" => query.propagation = Some(value),
                "includeObject" => query.include_object = value,
                _ => {}
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_what_they_name() {
        let place = |group: &str,
                     plural: &str,
                     namespace: Option<&str>,
                     name: Option<&str>,
                     sub: Option<&str>| {
            Target::Objects(Place {
                group: group.into(),
                version: "v1".into(),
                plural: plural.into(),
                namespace: namespace.map(Into::into),
                name: name.map(Into::into),
                subresource: sub.map(Into::into),
            })
        };
        for (path, wanted) in [
            ("/api", Target::CoreVersions),
            ("/apis/", Target::Groups),
            ("/apis/g", Target::Group("g".into())),
            ("/api/v1", Target::Resources(String::new(), "v1".into())),
            ("/api/v1/namespaces", place("", "namespaces", None, None, None)),
            ("/api/v1/namespaces/a", place("", "namespaces", None, Some("a"), None)),
            (
                "/api/v1/namespaces/a/status",
                place("", "namespaces", None, Some("a"), Some("status")),
            ),
            ("/api/v1/namespaces/a/secrets", place("", "secrets", Some("a"), None, None)),
            ("/apis/g/v1/namespaces/a/stages/s", place("g", "stages", Some("a"), Some("s"), None)),
            (
                "/apis/g/v1/namespaces/a/stages/s/status",
                place("g", "stages", Some("a"), Some("s"), Some("status")),
            ),
            (
                "/apis/g/v1/projects/p/status",
                place("g", "projects", None, Some("p"), Some("status")),
            ),
            (
                "/api/v1/namespaces/a/events/x%2By",
                place("", "events", Some("a"), Some("x+y"), None),
            ),
            ("/openapi/v3/apis/g/v1", Target::OpenApi3Of("g".into(), "v1".into())),
            ("/nothing", Target::Unknown),
        ] {
            assert_eq!(target(path), wanted, "{path}");
        }
    }
}
