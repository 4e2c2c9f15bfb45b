//! The Helm chart's own documents, made from `values.yaml`: the table of values
//! in its README, and `values.schema.json`.
//!
//! In `values.yaml` the comment `# -- …` above a key describes it. `make
//! chart-docs` writes both documents; a test finds them out of date.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

/// The chart's folder.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../charts/supercargo")
}

/// One documented value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documented {
    /// Its keys from the top, such as `controller`, `shardName`.
    pub path: Vec<String>,
    /// What it does.
    pub about: String,
}

/// Reads the comments of `values.yaml`: keys in block style, two spaces a level.
pub fn documented(values: &str) -> Vec<Documented> {
    let mut found = Vec::new();
    let (mut path, mut about) = (Vec::<String>::new(), String::new());
    for line in values.lines() {
        let text = line.trim_start();
        if let Some(words) = text.strip_prefix("# -- ") {
            about = words.to_owned();
            continue;
        }
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let level = (line.len() - text.len()) / 2;
        let Some((key, _)) = text.split_once(':') else { continue };
        path.truncate(level);
        path.push(key.to_owned());
        if !about.is_empty() {
            found.push(Documented { path: path.clone(), about: std::mem::take(&mut about) });
        }
    }
    found
}

/// The defaults as a JSON value.
///
/// # Panics
/// When `values` is no YAML.
pub fn defaults(values: &str) -> Value {
    serde_yaml::from_str(values).expect("values.yaml is YAML")
}

fn at<'a>(defaults: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(defaults, |value, key| value.get(key).unwrap_or(&Value::Null))
}

/// The paths of values that are no maps with keys of their own: each must be
/// documented.
pub fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let Some(map) = value.as_object().filter(|m| !m.is_empty()) else {
        found.push(path.clone());
        return;
    };
    for (key, inner) in map {
        path.push(key.clone());
        leaves(inner, path, found);
        path.pop();
    }
}

/// The chart's README.
pub fn readme(values: &str) -> String {
    let all = defaults(values);
    let mut text = String::from(INTRODUCTION);
    text.push_str("\n## Values\n\n| value | default | what it does |\n|---|---|---|\n");
    for value in documented(values) {
        let default = match at(&all, &value.path) {
            Value::Null => String::new(),
            default => format!("`{default}`"),
        };
        let about = value.about.replace('|', "\\|");
        text.push_str(&format!("| `{}` | {default} | {about} |\n", value.path.join(".")));
    }
    text
}

/// Values that are one of a few words.
const CHOICES: [(&str, &[&str]); 7] = [
    ("mode", &["combined", "split"]),
    ("image.pullPolicy", &["Always", "IfNotPresent", "Never"]),
    ("controller.images.cache.cacheByTagPolicy", &["Allow", "Forbid", "Require", "Force"]),
    (
        "controller.gitClient.pushIntegrationPolicy",
        &["AlwaysRebase", "RebaseOrMerge", "RebaseOrFail", "AlwaysMerge"],
    ),
    ("controller.gitClient.signingKeySecret.type", &["", "gpg", "ssh"]),
    ("controller.metrics.service.type", &["ClusterIP", "NodePort", "LoadBalancer"]),
    ("managementController.metrics.service.type", &["ClusterIP", "NodePort", "LoadBalancer"]),
];

/// Parts of Kargo's chart that this version does not have: values for them are
/// taken without effect, so that a values file for Kargo goes on working.
const ELSEWHERE: [&str; 5] =
    ["api", "externalWebhooksServer", "garbageCollector", "webhooks", "webhooksServer"];

/// The same within the controller's values.
const ELSEWHERE_IN_CONTROLLER: [&str; 1] = ["rollouts"];

/// The chart's `values.schema.json`.
pub fn schema(values: &str) -> String {
    let mut schema = of_value(&defaults(values), &mut Vec::new());
    let elsewhere = json!({
        "type": "object",
        "description": "This version has no such part; taken without effect.",
    });
    let controller = schema.pointer_mut("/properties/controller/properties");
    if let Some(properties) = controller.and_then(Value::as_object_mut) {
        for part in ELSEWHERE_IN_CONTROLLER {
            properties.insert(part.to_owned(), elsewhere.clone());
        }
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for part in ELSEWHERE {
            properties.insert(part.to_owned(), elsewhere.clone());
        }
        // What Helm itself puts there.
        properties.insert("global".to_owned(), {
            let mut global = properties.get("global").cloned().unwrap_or_default();
            global["additionalProperties"] = json!(true);
            global
        });
    }
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

fn of_value(value: &Value, path: &mut Vec<String>) -> Value {
    let name = path.join(".");
    if let Some((_, words)) = CHOICES.iter().find(|(path, _)| *path == name) {
        return json!({"enum": words});
    }
    match value {
        // Log levels are read without regard to case.
        Value::String(_) if name.ends_with("logLevel") => {
            json!({"type": "string", "pattern": "(?i)^(discard|error|warn|info|debug|trace)$"})
        }
        Value::String(_) if name.ends_with("logFormat") => {
            json!({"type": "string", "pattern": "(?i)^(console|json)$"})
        }
        Value::String(_) if name.ends_with("maxUnavailable") => {
            json!({"type": ["string", "integer"]})
        }
        Value::Number(_) if name.ends_with("minAvailable") => {
            json!({"type": ["string", "integer"]})
        }
        Value::Null => json!({"type": ["integer", "null"], "minimum": 1}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(_) => json!({"type": "integer", "minimum": 0}),
        Value::String(_) => json!({"type": "string"}),
        Value::Array(_) => json!({"type": "array"}),
        Value::Object(map) if map.is_empty() => json!({"type": "object"}),
        Value::Object(_)
            if name.ends_with("resources") || name.ends_with("grafanaDashboard.labels") =>
        {
            json!({"type": "object"})
        }
        Value::Object(map) => {
            let mut properties = Map::new();
            for (key, inner) in map {
                path.push(key.clone());
                properties.insert(key.clone(), of_value(inner, path));
                path.pop();
            }
            json!({"type": "object", "properties": properties, "additionalProperties": false})
        }
    }
}

const INTRODUCTION: &str = "\
# Helm chart of Supercargo

<!-- Made from values.yaml by `make chart-docs`. -->

    helm install supercargo charts/supercargo --namespace kargo --create-namespace

Needs Kubernetes 1.29 or newer. Values are named as in Kargo's chart wherever
they mean the same; a values file for Kargo is accepted, and values for parts
that this version does not have (`api`, `externalWebhooksServer`,
`garbageCollector`, `webhooks`, `webhooksServer`) have no effect.

The CustomResourceDefinitions come with the release and stay when it is
uninstalled, and with them every Project, Warehouse, Stage, Freight and
Promotion (`crds.keep`). To install them by hand, set `crds.install=false` and
`kubectl apply --server-side -f crds/`.
";
