//! The controllers' rights, which are those that the chart gives them, and
//! which of them are ever used. A test that runs on a real API server notes what
//! the controllers asked for in the file that `E2E_USED_RIGHTS` names;
//! `unused-rights` compares them afterwards.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::ACCOUNT;
use crate::{chart, helm};

/// What helm renders with the chart's defaults. A test of the chart holds it to
/// the chart.
const RENDERED: &str = include_str!("../tests/snapshots/chart__chart_defaults.snap");

/// What of the chart has to do with rights.
const KINDS: [&str; 5] =
    ["ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"];

/// The chart's ServiceAccounts, roles and bindings: by helm or, where there is
/// none, as it rendered them last.
///
/// # Panics
/// When the chart cannot be rendered.
pub fn manifest() -> Vec<Value> {
    let values = json!({"crds": {"install": false}});
    let text = match helm::template(&chart::folder(), &values) {
        Some(text) => text.unwrap_or_else(|e| panic!("the chart: {e}")),
        // After what the snapshot says about itself.
        None => RENDERED.splitn(3, "---\n").last().unwrap_or_default().to_owned(),
    };
    rights_of(&text)
}

/// The objects of a rendered chart that have to do with rights.
fn rights_of(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    let objects = documents.map(|d| Value::deserialize(d).expect("a rendered chart is YAML"));
    objects.filter(|o| o["kind"].as_str().is_some_and(|kind| KINDS.contains(&kind))).collect()
}

/// A verb on a resource of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource, with its subresource.
    pub resource: String,
    /// The verb.
    pub verb: String,
}

/// Verbs that no request carries: the API server asks for them about another.
const UNSEEN: [&str; 3] = ["bind", "escalate", "promote"];

/// The rights that these objects give the controllers' account by bindings among
/// them.
pub fn granted(documents: &[Value]) -> BTreeSet<Right> {
    let text = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let bound: BTreeSet<(String, String)> = documents
        .iter()
        .filter(|d| text(d, "/subjects/0/name") == ACCOUNT)
        .map(|d| (text(d, "/roleRef/kind"), text(d, "/roleRef/name")))
        .collect();
    let roles =
        documents.iter().filter(|d| bound.contains(&(text(d, "/kind"), text(d, "/metadata/name"))));
    let list = |rule: &Value, field: &str| -> Vec<String> {
        let values = rule.get(field).and_then(Value::as_array).into_iter().flatten();
        values.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in roles.flat_map(|role| role["rules"].as_array().into_iter().flatten()) {
        for group in list(rule, "apiGroups") {
            for resource in list(rule, "resources") {
                for verb in list(rule, "verbs") {
                    let (group, resource) = (group.clone(), resource.clone());
                    rights.insert(Right { group, resource, verb });
                }
            }
        }
    }
    rights
}

/// Notes rights as used, where a file for that is named.
///
/// # Panics
/// When the file cannot be written.
pub fn note(used: &BTreeSet<Right>) {
    let Some(path) = std::env::var_os("E2E_USED_RIGHTS") else { return };
    let mut text = String::new();
    for right in used {
        text.push_str(&format!("{}\t{}\t{}\n", right.group, right.resource, right.verb));
    }
    let file = std::fs::File::options().create(true).append(true).open(path);
    file.and_then(|mut f| f.write_all(text.as_bytes())).expect("used rights can be noted");
}

/// The granted rights that the file does not have.
///
/// # Errors
/// What the operating system says about the file.
pub fn unused(path: &Path) -> std::io::Result<Vec<Right>> {
    let text = std::fs::read_to_string(path)?;
    let used: BTreeSet<Right> = text
        .lines()
        .filter_map(|line| {
            let mut parts = line.split('\t').map(str::to_owned);
            let (group, resource, verb) = (parts.next()?, parts.next()?, parts.next()?);
            Some(Right { group, resource, verb })
        })
        .collect();
    let seen = |right: &Right| !UNSEEN.contains(&right.verb.as_str());
    Ok(granted(&manifest()).into_iter().filter(seen).filter(|r| !used.contains(r)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_by_wildcard_nor_secrets_everywhere() {
        let manifest = manifest();
        let rights = granted(&manifest);
        assert!(rights.len() > 30, "{rights:?}");
        for right in &rights {
            let all = [&right.group, &right.resource, &right.verb];
            assert!(all.iter().all(|part| *part != "*"), "{right:?}");
        }
        // Roles that read Secrets are bound in namespaces alone.
        assert!(!rights.iter().any(|r| r.resource == "secrets" && r.verb == "watch"));
        let everywhere: Vec<&str> = manifest
            .iter()
            .filter(|o| o["kind"] == "ClusterRoleBinding")
            .filter_map(|o| o["roleRef"]["name"].as_str())
            .collect();
        for role in manifest.iter().filter(|o| o["kind"] == "ClusterRole") {
            let name = role["metadata"]["name"].as_str().expect("a name");
            let reads = role["rules"].to_string().contains("\"secrets\"");
            assert!(!(reads && everywhere.contains(&name)), "{name} is bound everywhere");
        }
    }

    #[test]
    fn the_committed_rendering_grants_the_same() {
        let committed = rights_of(RENDERED.splitn(3, "---\n").last().expect("a snapshot"));
        assert_eq!(granted(&committed), granted(&manifest()));
    }
}
