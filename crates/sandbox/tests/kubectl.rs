//! The real kubectl against the sandbox's Kubernetes API. Where there is no kubectl, this says so.

use sandbox::kubernetes::{ARGOCD_DEFINITIONS, Api, Server};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

const WIDGETS: &str = include_str!("data/widget.yaml");

const WIDGET: &str = "
apiVersion: sandbox.example.com/v1
kind: Widget
metadata:
  name: one
  namespace: default
  labels: {tier: front}
spec:
  size: 3
  parts:
  - {name: lid, count: 1}
";

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Kubectl {
    home: tempfile::TempDir,
    api: Api,
    _server: Server,
}

struct Said {
    ok: bool,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn good(self) -> String {
        assert!(self.ok, "kubectl failed\n{}\n{}", self.out, self.err);
        self.out
    }
}

impl Kubectl {
    /// `None` where there is no kubectl.
    async fn start() -> Option<Self> {
        let found = Command::new("kubectl").args(["version", "--client"]).output().await;
        if !found.is_ok_and(|output| output.status.success()) {
            println!("skipped: there is no kubectl on the PATH");
            return None;
        }
        let api = Api::new();
        let server = api.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        server.write_kubeconfig(&home.path().join("kubeconfig")).unwrap();
        Some(Self { home, api, _server: server })
    }

    fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("kubeconfig")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(arguments).env("KUBECONFIG", self.kubeconfig()).env("HOME", self.home.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output =
            tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        let said = Said {
            ok: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        println!("$ kubectl {}\n{}{}", arguments.join(" "), said.out, said.err);
        said
    }

    async fn good(&self, arguments: &[&str]) -> String {
        self.run(arguments, "").await.good()
    }
}

/// The words of each line, so that column widths do not matter.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_side_apply_get_change_and_delete() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let applied = kubectl.run(&["apply", "-f", "-"], WIDGETS).await.good();
    assert_eq!(
        applied.trim(),
        "customresourcedefinition.apiextensions.k8s.io/widgets.sandbox.example.com created"
    );
    kubectl
        .good(&[
            "wait",
            "--for=condition=Established",
            "crd/widgets.sandbox.example.com",
            "--timeout=30s",
        ])
        .await;
    let applied = kubectl.run(&["apply", "-f", "-"], WIDGET).await.good();
    assert_eq!(applied.trim(), "widget.sandbox.example.com/one created");

    // Applied again unchanged: nothing is written.
    let before = kubectl.api.version();
    let applied = kubectl.run(&["apply", "-f", "-"], WIDGET).await.good();
    assert_eq!(applied.trim(), "widget.sandbox.example.com/one unchanged");
    assert_eq!(kubectl.api.version(), before);

    let applied =
        kubectl.run(&["apply", "-f", "-"], &WIDGET.replace("size: 3", "size: 4")).await.good();
    assert_eq!(applied.trim(), "widget.sandbox.example.com/one configured");
    let table = kubectl.good(&["get", "widgets"]).await;
    let table = words(&table);
    assert_eq!(table[0], ["NAME", "SIZE", "READY", "AGE"]);
    assert_eq!(table[1][..2], ["one", "4"]);
    let wide = kubectl.good(&["get", "wi", "one", "-o", "wide"]).await;
    assert_eq!(words(&wide)[0], ["NAME", "SIZE", "READY", "COLOR", "AGE"]);
    assert!(wide.contains("Red"));
    let all = kubectl.good(&["get", "widgets", "-A", "-l", "tier=front", "--show-labels"]).await;
    assert!(all.contains("default") && all.contains("tier=front"));
    let json: serde_json::Value =
        serde_json::from_str(&kubectl.good(&["get", "widget", "one", "-o", "json"]).await).unwrap();
    assert_eq!(json["spec"]["parts"][0]["count"], 1);
    assert_eq!(json["metadata"]["generation"], 2);
    let yaml = kubectl.good(&["get", "widget/one", "-o", "yaml"]).await;
    assert!(yaml.contains("size: 4") && !yaml.contains("managedFields"));
    let path = kubectl.good(&["get", "widget", "one", "-o", "jsonpath={.spec.color}"]).await;
    assert_eq!(path, "Red");

    let said = kubectl.good(&["annotate", "widget", "one", "kargo.akuity.io/refresh=now"]).await;
    assert_eq!(said.trim(), "widget.sandbox.example.com/one annotated");
    let said = kubectl.good(&["label", "widget", "one", "more=yes"]).await;
    assert_eq!(said.trim(), "widget.sandbox.example.com/one labeled");
    kubectl.good(&["patch", "widget", "one", "--type=merge", "-p", r#"{"spec":{"size":7}}"#]).await;
    kubectl
        .good(&[
            "patch",
            "widget",
            "one",
            "--type=json",
            "-p",
            r#"[{"op":"replace","path":"/spec/color","value":"Blue"}]"#,
        ])
        .await;
    kubectl
        .good(&[
            "patch",
            "widget",
            "one",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"phase":"Done","conditions":[{"type":"Ready","status":"True"}]}}"#,
        ])
        .await;
    let table = kubectl.good(&["get", "widget", "one", "-o", "wide"]).await;
    assert_eq!(words(&table)[1][..4], ["one", "7", "True", "Blue"]);
    let described = kubectl.good(&["describe", "widget", "one"]).await;
    for part in
        ["Name:", "one", "kargo.akuity.io/refresh: now", "Size:", "Phase:", "Done", "Events:"]
    {
        assert!(described.contains(part), "{part}");
    }
    // Applying the file again keeps what others have set.
    kubectl.run(&["apply", "-f", "-"], WIDGET).await.good();
    let json: serde_json::Value =
        serde_json::from_str(&kubectl.good(&["get", "widget", "one", "-o", "json"]).await).unwrap();
    assert_eq!((&json["spec"]["size"], &json["spec"]["color"]), (&3.into(), &"Blue".into()));
    assert_eq!(json["metadata"]["labels"], serde_json::json!({"tier": "front", "more": "yes"}));

    let said = kubectl.good(&["delete", "widget", "one"]).await;
    assert!(said.contains("widget.sandbox.example.com \"one\" deleted"));
    let said = kubectl.run(&["get", "widget", "one"], "").await;
    assert_eq!(
        said.err.trim(),
        "Error from server (NotFound): widgets.sandbox.example.com \"one\" not found"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_side_apply_owns_fields() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.run(&["apply", "--server-side", "-f", "-"], WIDGETS).await.good();
    let said = kubectl.run(&["apply", "--server-side", "-f", "-"], WIDGET).await.good();
    assert_eq!(said.trim(), "widget.sandbox.example.com/one serverside-applied");
    let before = kubectl.api.version();
    kubectl.run(&["apply", "--server-side", "-f", "-"], WIDGET).await.good();
    assert_eq!(kubectl.api.version(), before);
    let other = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let said = kubectl.run(&other, &WIDGET.replace("size: 3", "size: 5")).await;
    assert!(!said.ok);
    assert!(
        said.err.contains("Apply failed with 1 conflict: conflict with \"kubectl\": .spec.size")
            || said.err.contains(".spec.size"),
        "{}",
        said.err
    );
    let forced =
        ["apply", "--server-side", "--force-conflicts", "--field-manager=other", "-f", "-"];
    kubectl.run(&forced, &WIDGET.replace("size: 3", "size: 5")).await.good();
    let yaml = kubectl.good(&["get", "widget", "one", "-o", "yaml", "--show-managed-fields"]).await;
    assert!(
        yaml.contains("manager: other")
            && yaml.contains("operation: Apply")
            && yaml.contains("size: 5")
    );
    // From client-side to server-side apply and back.
    kubectl.run(&["apply", "-f", "-"], &WIDGET.replace("name: one", "name: two")).await.good();
    kubectl
        .run(&["apply", "--server-side", "-f", "-"], &WIDGET.replace("name: one", "name: two"))
        .await
        .good();
    kubectl.run(&["apply", "-f", "-"], &WIDGET.replace("name: one", "name: two")).await.good();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn built_in_kinds_events_and_namespaces() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.good(&["create", "namespace", "team"]).await;
    kubectl
        .good(&["-n", "team", "create", "secret", "generic", "git", "--from-literal=password=x"])
        .await;
    kubectl.good(&["-n", "team", "create", "configmap", "map", "--from-literal=a=b"]).await;
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: plain, namespace: team}\nstringData: {user: me}\n";
    kubectl.run(&["apply", "-f", "-"], secret).await.good();
    kubectl.run(&["apply", "-f", "-"], &secret.replace("user: me", "user: you")).await.good();
    let user = kubectl
        .good(&["-n", "team", "get", "secret", "plain", "-o", "jsonpath={.data.user}"])
        .await;
    assert_eq!(user, "eW91");
    kubectl.good(&["-n", "team", "label", "configmap", "map", "x=y"]).await;
    kubectl.good(&["-n", "team", "patch", "configmap", "map", "-p", r#"{"data":{"a":"c"}}"#]).await;
    let table = kubectl.good(&["-n", "team", "get", "secrets,configmaps"]).await;
    assert!(table.contains("secret/git") && table.contains("configmap/map"), "{table}");
    let namespaces = kubectl.good(&["get", "ns"]).await;
    assert!(words(&namespaces).iter().any(|line| line.starts_with(&["team", "Active"])));
    let uid = kubectl
        .good(&["-n", "team", "get", "configmap", "map", "-o", "jsonpath={.metadata.uid}"])
        .await;
    let event = r#"{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"e","namespace":"team"},
        "eventTime":"2026-01-01T00:00:00.000000Z","type":"Normal","reason":"Created","action":"Create","note":"made a thing",
        "reportingController":"test","reportingInstance":"test-1",
        "regarding":{"apiVersion":"v1","kind":"ConfigMap","name":"map","namespace":"team","uid":"UID"}}"#
        .replace("UID", &uid);
    kubectl.run(&["create", "-f", "-"], &event).await.good();
    let events = kubectl.good(&["-n", "team", "get", "events"]).await;
    assert!(events.contains("made a thing") && events.contains("configmap/map"), "{events}");
    let events = kubectl.good(&["-n", "team", "events"]).await;
    assert!(events.contains("made a thing"), "{events}");
    let described = kubectl.good(&["-n", "team", "describe", "configmap", "map"]).await;
    assert!(described.contains("made a thing"), "{described}");
    kubectl.good(&["auth", "can-i", "create", "secrets"]).await;
    kubectl.good(&["delete", "namespace", "team"]).await;
    let left = kubectl.good(&["get", "secrets", "-A"]).await;
    assert!(!left.contains("team"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_explain_and_versions() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.run(&["apply", "-f", "-"], WIDGETS).await.good();
    let resources = kubectl.good(&["api-resources"]).await;
    let resources = words(&resources);
    assert!(
        resources
            .iter()
            .any(|line| *line == ["widgets", "wi", "sandbox.example.com/v1", "true", "Widget"])
    );
    assert!(resources.iter().any(|line| *line == ["namespaces", "ns", "v1", "false", "Namespace"]));
    let versions = kubectl.good(&["api-versions"]).await;
    assert!(versions.lines().any(|line| line == "sandbox.example.com/v1"));
    kubectl.good(&["version"]).await;
    let explained = kubectl.good(&["explain", "widget.spec.size"]).await;
    assert!(explained.contains("How big it is."), "{explained}");
    kubectl.good(&["get", "--raw", "/readyz"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_as_by_a_real_server() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.run(&["apply", "-f", "-"], WIDGETS).await.good();
    for (from, to, words) in [
        (
            "size: 3",
            "size: 300",
            "The Widget \"one\" is invalid: spec.size: Invalid value: 300: spec.size in body should be less than or equal to 100",
        ),
        (
            "size: 3",
            "color: Red",
            "The Widget \"one\" is invalid: \n* spec.size: Required value\n* <nil>: Invalid value: null: some validation rules were not checked",
        ),
        (
            "size: 3",
            "size: 3\n  color: Pink",
            "spec.color: Unsupported value: \"Pink\": supported values: \"Red\", \"Green\", \"Blue\"",
        ),
        ("size: 3", "size: 3\n  bogus: 1", "strict decoding error: unknown field \"spec.bogus\""),
        ("namespace: default", "namespace: nowhere", "namespaces \"nowhere\" not found"),
        (
            "name: one",
            "name: One",
            "metadata.name: Invalid value: \"One\": a lowercase RFC 1123 subdomain",
        ),
    ] {
        let said = kubectl.run(&["apply", "-f", "-"], &WIDGET.replace(from, to)).await;
        assert!(!said.ok && said.err.contains(words), "{to}: {}", said.err);
    }
    let said = kubectl.run(&["get", "nothing"], "").await;
    assert!(
        said.err.contains("the server doesn't have a resource type \"nothing\""),
        "{}",
        said.err
    );
    let ignored = kubectl
        .run(
            &["apply", "--validate=warn", "-f", "-"],
            &WIDGET.replace("size: 3", "size: 3\n  bogus: 1"),
        )
        .await;
    assert!(
        ignored.ok && ignored.err.contains("Warning: unknown field \"spec.bogus\""),
        "{}",
        ignored.err
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_shows_changes() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.run(&["apply", "-f", "-"], WIDGETS).await.good();
    kubectl.run(&["apply", "-f", "-"], WIDGET).await.good();
    let mut child = kubectl.command(&["get", "widgets", "-w"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next =
        async || tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert_eq!(words(&next().await)[0], ["NAME", "SIZE", "READY", "AGE"]);
    assert_eq!(words(&next().await)[0][..2], ["one", "3"]);
    kubectl.good(&["patch", "widget", "one", "--type=merge", "-p", r#"{"spec":{"size":9}}"#]).await;
    assert_eq!(words(&next().await)[0][..2], ["one", "9"]);
    kubectl.run(&["apply", "-f", "-"], &WIDGET.replace("name: one", "name: two")).await.good();
    assert_eq!(words(&next().await)[0][..2], ["two", "3"]);
    child.kill().await.unwrap();
    let bounded = kubectl.good(&["get", "widgets", "-w", "--request-timeout=1s"]).await;
    assert_eq!(words(&bounded).len(), 3);
    kubectl.good(&["wait", "--for=jsonpath={.spec.size}=9", "widget/one", "--timeout=30s"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_project_s_own_definitions_and_argo_cd_s_are_served() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.run(&["apply", "-f", "-"], ARGOCD_DEFINITIONS).await.good();
    let application = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: app, namespace: default}\nspec: {project: default, anything: {goes: 1}}\n";
    kubectl.run(&["apply", "-f", "-"], application).await.good();
    // An Application has no status subresource: its status is written with the rest.
    kubectl
        .good(&[
            "patch",
            "application",
            "app",
            "--type=merge",
            "-p",
            r#"{"status":{"sync":{"status":"Synced"},"health":{"status":"Healthy"}}}"#,
        ])
        .await;
    let table = kubectl.good(&["get", "apps"]).await;
    let table = words(&table);
    assert_eq!(table[1][..3], ["app", "Synced", "Healthy"]);

    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    kubectl.good(&["apply", "-f", own.to_str().unwrap()]).await;
    let stage = "
apiVersion: kargo.akuity.io/v1alpha1
kind: Stage
metadata: {name: dev, namespace: default}
spec:
  requestedFreight:
  - origin: {kind: Warehouse, name: images}
    sources: {direct: true}
  promotionTemplate:
    spec:
      steps:
      - uses: git-clone
        config: {repoURL: https://example.com/x.git, checkout: [{branch: main, path: src}]}
";
    kubectl.run(&["apply", "-f", "-"], stage).await.good();
    let said = kubectl
        .run(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            &stage.replace("uses: git-clone", "uses: git-clone\n        task: {name: t}"),
        )
        .await;
    assert!(
        !said.ok && said.err.contains("spec.promotionTemplate.spec.steps[0]: Invalid value"),
        "{}",
        said.err
    );
    let table = kubectl.good(&["get", "stages"]).await;
    assert_eq!(
        words(&table)[0],
        ["NAME", "SHARD", "CURRENT", "FREIGHT", "HEALTH", "READY", "STATUS", "AGE"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_are_applied_as_they_stand() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    kubectl.run(&["apply", "-f", "-"], ARGOCD_DEFINITIONS).await.good();
    kubectl.good(&["apply", "-f", root.join("crds").to_str().unwrap()]).await;
    for namespace in ["argocd", "develop"] {
        kubectl.good(&["create", "namespace", namespace]).await;
    }
    for example in ["quickstart", "quickstart/with-task"] {
        let folder = root.join("examples").join(example);
        if folder.is_dir() {
            kubectl.good(&["apply", "-f", folder.to_str().unwrap()]).await;
        }
    }
    let stages = kubectl.good(&["get", "projects,warehouses,stages,promotiontasks", "-A"]).await;
    assert!(
        stages.contains("frontend-dev-stage") && stages.contains("frontend-dev-image"),
        "{stages}"
    );
}
