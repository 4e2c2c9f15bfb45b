//! The Helm chart: its documents, what it renders (`install` 5, 6 and 10), and
//! that nothing in it is wider than it must be.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::Command;

use e2e::chart::{self, Documented};
use e2e::helm;
use serde_json::{Value, json};

fn values() -> String {
    std::fs::read_to_string(chart::folder().join("values.yaml")).unwrap()
}

#[test]
fn every_value_is_documented_and_the_documents_are_up_to_date() {
    let values = values();
    let documented: Vec<Vec<String>> =
        chart::documented(&values).into_iter().map(|Documented { path, .. }| path).collect();
    let mut leaves = Vec::new();
    chart::leaves(&chart::defaults(&values), &mut Vec::new(), &mut leaves);
    for leaf in leaves {
        // A map that is documented as a whole (`resources`) covers its keys.
        let covered = (1..=leaf.len()).any(|n| documented.contains(&leaf[..n].to_vec()));
        assert!(covered, "values.yaml says nothing of {}", leaf.join("."));
    }
    for (file, wanted) in
        [("README.md", chart::readme(&values)), ("values.schema.json", chart::schema(&values))]
    {
        let found = std::fs::read_to_string(chart::folder().join(file)).unwrap();
        assert_eq!(found, wanted, "charts/supercargo/{file} is old: run `make chart-docs`");
    }
}

/// A rendered chart.
struct Rendered(Vec<Value>);

impl Rendered {
    fn of(values: &Value) -> Option<Self> {
        Some(Self::try_of(values)?.unwrap_or_else(|error| panic!("{values}: {error}")))
    }

    fn try_of(values: &Value) -> Option<Result<Self, String>> {
        let text = helm::template(&chart::folder(), values)?;
        Some(text.map(|text| {
            let documents = serde_yaml::Deserializer::from_str(&text);
            let objects = documents.map(|d| serde::Deserialize::deserialize(d).unwrap());
            Self(objects.filter(|o: &Value| !o.is_null()).collect())
        }))
    }

    fn all<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let kind = kind.to_owned();
        self.0.iter().filter(move |o| o["kind"] == kind)
    }

    fn names(&self, kind: &str) -> Vec<&str> {
        self.all(kind).filter_map(|o| o["metadata"]["name"].as_str()).collect()
    }

    fn get(&self, kind: &str, name: &str) -> &Value {
        let found = self.all(kind).find(|o| o["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name} in {:?}", self.names(kind)))
    }

    /// The settings of the controller.
    fn settings(&self) -> &Value {
        &self.get("ConfigMap", "supercargo-controller")["data"]
    }
}

/// Ends the test where there is no helm, which `helm::template` has said.
macro_rules! rendered {
    ($values:tt) => {
        match Rendered::of(&json!($values)) {
            Some(rendered) => rendered,
            None => return,
        }
    };
}

#[test]
fn images_and_labels() {
    // install/I2
    let plain = rendered!({});
    let container = &plain.get("Deployment", "supercargo-controller")["spec"]["template"]["spec"]["containers"]
        [0];
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(container["image"], format!("ghcr.io/supercargo/supercargo:{version}"));
    // install/I3: on every object but the CRDs.
    let labelled = rendered!({"global": {"labels": {"a": "b"}}, "mode": "split",
        "networkPolicy": {"enabled": true}, "controller": {"metrics": {"enabled": true},
        "podDisruptionBudget": {"enabled": true}}});
    for object in labelled.0.iter().filter(|o| o["kind"] != "CustomResourceDefinition") {
        let metadata = &object["metadata"];
        assert_eq!(metadata["labels"]["a"], "b", "{} {}", object["kind"], metadata["name"]);
    }
}

#[test]
fn shards() {
    // install/I9, install/I10, install/I11
    for (values, shard, default) in [
        (json!({}), None, Some("true")),
        (json!({"shardName": "s"}), Some("s"), None),
        (json!({"shardName": "s", "isDefault": true}), Some("s"), Some("true")),
    ] {
        let rendered = rendered!({"controller": values});
        assert_eq!(rendered.settings()["SHARD_NAME"].as_str(), shard);
        assert_eq!(rendered.settings()["IS_DEFAULT_CONTROLLER"].as_str(), default);
    }
}

#[test]
fn metrics() {
    // install/I13
    let off = rendered!({});
    assert!(off.names("Service").is_empty());
    assert_eq!(off.settings()["METRICS_BIND_ADDRESS"], Value::Null);
    let on = rendered!({"controller": {"metrics": {"enabled": true,
        "serviceMonitor": {"enabled": true}}}});
    assert_eq!(on.settings()["METRICS_BIND_ADDRESS"], ":9090");
    assert_eq!(on.names("Service"), ["supercargo-controller-metrics"]);
    let pod = &on.get("Deployment", "supercargo-controller")["spec"]["template"]["spec"];
    let ports = pod["containers"][0]["ports"].as_array().unwrap();
    assert!(ports.iter().any(|p| p["containerPort"] == 9090), "{ports:?}");
    // The cluster does not know ServiceMonitors.
    assert!(on.names("ServiceMonitor").is_empty());
    let known = helm::template_with(
        &chart::folder(),
        &json!({"controller": {"metrics": {"enabled": true, "serviceMonitor": {"enabled": true}}}}),
        &["--api-versions", "monitoring.coreos.com/v1"],
    );
    let Some(known) = known else { return };
    assert!(known.unwrap().contains("kind: ServiceMonitor"));
}

#[test]
fn rights_at_argo_cd() {
    // install/I14
    let wide = rendered!({});
    wide.get("ClusterRole", "supercargo-controller-argocd");
    assert!(!wide.all("Role").any(|r| r["metadata"]["namespace"] == "argocd"));
    // install/I15
    let narrow = rendered!({"controller": {"argocd": {"watchArgocdNamespaceOnly": true,
        "namespace": "foo"}}});
    for kind in ["Role", "RoleBinding"] {
        assert!(narrow.all(kind).any(|r| r["metadata"]["namespace"] == "foo"), "{kind}");
    }
    assert!(!narrow.names("ClusterRole").contains(&"supercargo-controller-argocd"));
    // install/I16
    let off = rendered!({"controller": {"argocd": {"integrationEnabled": false}}});
    assert!(!off.names("ClusterRole").contains(&"supercargo-controller-argocd"));
    assert_eq!(off.settings()["ARGOCD_INTEGRATION_ENABLED"], "false");
}

#[test]
fn several_controllers_beside_each_other() {
    // install/I18
    let rendered = rendered!({"controller": {"id": "x", "metrics": {"enabled": true},
        "podDisruptionBudget": {"enabled": true}}});
    let name = "supercargo-controller-x";
    for (kind, name) in [
        ("Deployment", name),
        ("ConfigMap", name),
        ("ServiceAccount", name),
        ("ClusterRoleBinding", name),
        ("RoleBinding", name),
        ("PodDisruptionBudget", name),
        ("Service", "supercargo-controller-x-metrics"),
        ("ClusterRole", "supercargo-controller-x-argocd"),
        ("ClusterRoleBinding", "supercargo-controller-x-argocd"),
        ("RoleBinding", "supercargo-controller-x-system-resources"),
        ("RoleBinding", "supercargo-controller-x-shared-resources"),
    ] {
        let object = rendered.get(kind, name);
        assert_eq!(object["metadata"]["labels"]["akuity.io/kargo-controller-id"], "x", "{kind}");
    }
    // The other roles are the same for all.
    rendered.get("ClusterRole", "supercargo-controller");
    rendered.get("Role", "supercargo-controller");
}

#[test]
fn no_rights_at_argo_rollouts() {
    // install/I17; there is no integration yet, whatever is asked for.
    for enabled in [false, true] {
        let rendered = rendered!({"controller": {"rollouts": {"integrationEnabled": enabled}}});
        let all = rendered.names("ClusterRole");
        assert!(!all.iter().any(|name| name.contains("rollouts")), "{all:?}");
    }
}

#[test]
fn who_reads_secrets() {
    let reads = |role: &Value| {
        let rules = role["rules"].as_array().unwrap().clone();
        rules.iter().any(|r| r["resources"].as_array().unwrap().contains(&json!("secrets")))
    };
    let plain = rendered!({});
    assert!(!reads(plain.get("ClusterRole", "supercargo-controller")));
    plain.get("ClusterRole", "kargo-controller-read-secrets");
    assert_eq!(plain.settings()["MANAGE_CONTROLLER_ROLE_BINDINGS"], "true");
    // install/I19
    let wide = rendered!({"controller": {"serviceAccount": {
        "clusterWideSecretReadingEnabled": true}}});
    assert!(reads(wide.get("ClusterRole", "supercargo-controller")));
    assert!(!wide.names("ClusterRole").contains(&"kargo-controller-read-secrets"));
    assert_eq!(wide.settings()["MANAGE_CONTROLLER_ROLE_BINDINGS"], "false");
}

#[test]
fn definitions() {
    // install/I20
    let kept = rendered!({});
    let keep = |o: &Value| o["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
    assert_eq!(kept.names("CustomResourceDefinition").len(), 11);
    assert!(kept.all("CustomResourceDefinition").all(keep));
    let not_kept = rendered!({"crds": {"keep": false}});
    assert!(!not_kept.all("CustomResourceDefinition").any(keep));
    for values in [json!({"crds": {"install": false}}), json!({"dataPlane": {"install": false}})] {
        let rendered = rendered!(values);
        assert!(rendered.names("CustomResourceDefinition").is_empty(), "{values}");
    }
}

#[test]
fn parts_can_be_left_out() {
    // install/I25
    let no_roles = rendered!({"rbac": {"installClusterRoles": false}});
    assert!(no_roles.names("ClusterRole").is_empty());
    let no_bindings = rendered!({"rbac": {"installClusterRoleBindings": false}});
    assert!(no_bindings.names("ClusterRoleBinding").is_empty());
    // install/I26
    let no_namespace = rendered!({"global": {"systemResources": {"createNamespace": false}}});
    assert_eq!(no_namespace.names("Namespace"), ["kargo-shared-resources"]);
    let no_rbac = rendered!({"global": {"systemResources": {"createRBAC": false}}});
    for kind in ["Role", "RoleBinding"] {
        assert!(!no_rbac.all(kind).any(|r| r["metadata"]["namespace"] == "kargo-system-resources"));
    }
    // install/I27
    let data_plane = rendered!({"workloads": {"install": false}, "networkPolicy": {"enabled": true},
        "grafanaDashboard": {"enabled": true}});
    for kind in ["Deployment", "ConfigMap", "Service", "NetworkPolicy"] {
        assert!(data_plane.names(kind).is_empty(), "{kind}");
    }
    assert!(!data_plane.names("ClusterRole").is_empty());
}

#[test]
fn replicas_are_at_least_one() {
    // install/I34
    let rendered = rendered!({"controller": {"replicas": 0}});
    assert_eq!(rendered.get("Deployment", "supercargo-controller")["spec"]["replicas"], 1);
}

#[test]
fn one_process_or_two() {
    let combined = rendered!({});
    assert_eq!(combined.names("Deployment"), ["supercargo-controller"]);
    assert_eq!(combined.settings()["SUPERCARGO_WITH_MANAGEMENT"], "true");
    let binding = combined.get("ClusterRoleBinding", "supercargo-controller-management");
    assert_eq!(binding["subjects"][0]["name"], "supercargo-controller");
    let split = rendered!({"mode": "split"});
    assert_eq!(
        split.names("Deployment"),
        ["supercargo-controller", "supercargo-management-controller"]
    );
    assert_eq!(split.settings()["SUPERCARGO_WITH_MANAGEMENT"], "false");
    let binding = split.get("ClusterRoleBinding", "supercargo-management-controller-management");
    assert_eq!(binding["subjects"][0]["name"], "supercargo-management-controller");
}

#[test]
fn pods_meet_the_restricted_level() {
    let rendered = rendered!({"mode": "split"});
    for deployment in rendered.all("Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = &pod["containers"][0];
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert!(container[probe].is_object(), "{probe}");
        }
        assert!(container["resources"]["limits"]["memory"].is_string());
        for volume in pod["volumes"].as_array().unwrap() {
            assert!(volume["emptyDir"]["sizeLimit"].is_string(), "{volume}");
        }
    }
}

#[test]
fn no_role_has_a_wildcard() {
    for values in [json!({}), json!({"mode": "split"})] {
        let rendered = rendered!(values);
        for role in rendered.all("ClusterRole").chain(rendered.all("Role")) {
            for rule in role["rules"].as_array().unwrap() {
                for field in ["apiGroups", "resources", "verbs"] {
                    let list = rule[field].as_array().unwrap();
                    assert!(!list.contains(&json!("*")), "{} {rule}", role["metadata"]["name"]);
                }
            }
        }
    }
}

#[test]
fn settings_roll_the_pods() {
    let checksum = |rendered: &Rendered| {
        rendered.get("Deployment", "supercargo-controller")["spec"]["template"]["metadata"]
            ["annotations"]["configmap/checksum"]
            .clone()
    };
    let (a, b) = (rendered!({}), rendered!({"controller": {"logLevel": "debug"}}));
    assert_ne!(checksum(&a), checksum(&b));
}

#[test]
fn wrong_values_are_refused_with_their_name() {
    for (values, name) in [
        (json!({"mode": "both"}), "mode"),
        (json!({"controller": {"shardname": "s"}}), "shardname"),
        (json!({"controller": {"logLevel": "loud"}}), "logLevel"),
        (json!({"controller": {"replicas": "two"}}), "replicas"),
        (json!({"image": {"pullPolicy": "Often"}}), "pullPolicy"),
    ] {
        let Some(outcome) = Rendered::try_of(&values) else { return };
        let Err(error) = outcome else { panic!("{values} is taken") };
        assert!(error.contains(name), "{error}");
    }
    // A values file for Kargo is taken.
    rendered!({"api": {"adminAccount": {"passwordHash": "x"}}, "webhooksServer": {"replicas": 2}});
}

#[test]
fn snapshots() {
    let sets: BTreeMap<&str, Value> = BTreeMap::from([
        ("defaults", json!({})),
        (
            "split",
            json!({"mode": "split", "controller": {"replicas": 2},
            "managementController": {"replicas": 2}}),
        ),
        (
            "shard",
            json!({"controller": {"id": "eu", "shardName": "eu"},
            "managementController": {"enabled": false}}),
        ),
        (
            "remote",
            json!({"kubeconfigSecrets": {"kargo": "kargo-kubeconfig",
            "argocd": "argocd-kubeconfig"}, "controller": {"argocd": {
            "watchArgocdNamespaceOnly": true}}}),
        ),
        (
            "observed",
            json!({"networkPolicy": {"enabled": true}, "controller": {
            "metrics": {"enabled": true}, "podDisruptionBudget": {"enabled": true}}}),
        ),
        (
            "signed",
            json!({"controller": {"gitClient": {"signingKeySecret": {"name": "key"}},
            "images": {"registries": {"mirrors": ["docker.io=https://mirror.example.com"]}}}}),
        ),
    ]);
    for (name, values) in sets {
        // The definitions have a drift test of their own.
        let mut values = values;
        values["crds"] = json!({"install": false});
        let Some(text) = helm::template(&chart::folder(), &values) else { return };
        insta::assert_snapshot!(format!("chart_{name}"), text.unwrap());
    }
}

#[test]
fn lint() {
    let Some(helm) = helm::program() else { return };
    let output = Command::new(helm).arg("lint").arg(chart::folder()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
