//! What the API knows of one kind of object: its names, scope, subresources, columns and schema.

use super::schema::Schema;
use std::sync::Arc;

/// One column of a printed table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// Format of the value, e.g. `name`.
    pub format: String,
    /// What the column says.
    pub description: String,
    /// 0 is always shown, more only with `-o wide`.
    pub priority: i64,
    /// Where the value stands, e.g. `.status.phase`.
    pub path: String,
}

impl Column {
    /// A column that is always shown.
    pub fn new(name: &str, kind: &str, path: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: String::new(),
            description: String::new(),
            priority: 0,
            path: path.to_owned(),
        }
    }
}

/// One served kind in one version.
#[derive(Clone, Debug)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// Version, e.g. `v1alpha1`.
    pub version: String,
    /// Kind, e.g. `Stage`.
    pub kind: String,
    /// Kind of a list of them.
    pub list_kind: String,
    /// Name in paths.
    pub plural: String,
    /// Name for one, for people.
    pub singular: String,
    /// Short names for kubectl.
    pub short_names: Vec<String>,
    /// Groups of resources for kubectl, e.g. `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether `status` is written through its own subresource.
    pub status: bool,
    /// Whether the kind comes from a CustomResourceDefinition.
    pub custom: bool,
    /// Whether objects are answered and never kept (access reviews).
    pub review: bool,
    /// Columns after the name.
    pub columns: Vec<Column>,
    /// The schema, if objects are checked deeply.
    pub schema: Option<Arc<Schema>>,
    /// The schema as written, for OpenAPI.
    pub raw_schema: Option<serde_json::Value>,
    /// Key of the collection that holds the objects: kinds that are one thing in two groups share it.
    pub storage: String,
}

impl Resource {
    /// `stages.kargo.akuity.io`, or `secrets` in the core group.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `kargo.akuity.io/v1alpha1`, or `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}
