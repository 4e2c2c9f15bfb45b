//! The definitions in `crds/` are those of the types, and those of the
//! reference but for the differences listed here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where the definitions differ from the reference on purpose: kind, path, and
/// why.
const DIFFERENCES: &[(&str, &str, &str)] = &[(
    "projects",
    "spec.versions.0.schema.openAPIV3Schema.properties.spec",
    "older manifests have promotionPolicies in the Project; they are honoured, not pruned",
)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_committed_files_are_those_of_the_types() {
    let folder = root().join("crds");
    let mut expected = BTreeSet::new();
    for (name, yaml) in api::crd::files() {
        let committed = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(committed == yaml, "crds/{name} is not what the types say; run `make crds`");
        expected.insert(name);
    }
    let there: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|n| n.starts_with("kargo.akuity.io_"))
        .collect();
    assert_eq!(there, expected);
}

#[test]
fn every_definition_reads_as_one() {
    assert_eq!(api::crds().len(), 11);
}

/// A definition as paths and values, without what does not count:
/// descriptions, the generator's annotations, and the order of `required`.
fn flatten(value: &Value, path: &str, into: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let in_properties = path.ends_with(".properties");
                if (key == "description" && !in_properties && member.is_string())
                    || (path.is_empty() && matches!(key.as_str(), "metadata" | "status"))
                {
                    continue;
                }
                if key == "required" && member.is_array() {
                    for item in member.as_array().into_iter().flatten() {
                        into.insert(format!("{}.{item}", below("required")), "yes".into());
                    }
                    continue;
                }
                flatten(member, &below(key), into);
            }
            if members.is_empty() {
                into.insert(path.to_owned(), "{}".into());
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                flatten(item, &below(&i.to_string()), into);
            }
        }
        other => {
            into.insert(path.to_owned(), other.to_string());
        }
    }
}

#[test]
fn the_schemas_are_the_reference_s() {
    let folder = root().join("../shared/spec/crds");
    if !folder.is_dir() {
        println!("skipped: the reference schemas are not here");
        return;
    }
    let mut wrong = Vec::new();
    for (plural, ours) in api::crd::definitions() {
        let text = std::fs::read_to_string(folder.join(format!("{plural}.json"))).unwrap();
        let theirs: Value = serde_json::from_str(&text).unwrap();
        let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
        flatten(&ours, "", &mut a);
        flatten(&theirs, "", &mut b);
        let excused = |path: &str| {
            DIFFERENCES.iter().any(|(kind, at, _)| *kind == plural && path.starts_with(at))
        };
        for path in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            if a.get(path) != b.get(path) && !excused(path) {
                wrong.push(format!(
                    "{plural} {path}: {:?}, reference {:?}",
                    a.get(path),
                    b.get(path)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
