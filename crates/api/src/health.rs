//! How well what a Stage deploys is, and how that is checked (`api` 4.5).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::enums::HealthState;

/// How well what a Stage deploys is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Health {
    /// In a word.
    #[serde(skip_serializing_if = "HealthState::is_empty")]
    pub status: HealthState,
    /// What is not well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<String>,
    /// Never written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::opaque")]
    pub config: Option<Value>,
    /// What the checks found.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::opaque")]
    pub output: Option<Value>,
}

/// A check that a finished step leaves to the Stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheckStep {
    /// The checker's kind.
    #[schemars(extend("minLength" = 1))]
    pub uses: String,
    /// The checker's input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::opaque")]
    pub config: Option<Value>,
}
