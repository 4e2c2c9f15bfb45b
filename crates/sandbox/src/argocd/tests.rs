use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::StreamExt;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use super::*;

/// A resolver that knows what it is told.
#[derive(Default)]
struct Heads(Mutex<HashMap<String, String>>);

impl Heads {
    fn set(&self, repo: &str, head: &str) {
        self.0.lock().unwrap().insert(repo.into(), head.into());
    }
}

#[async_trait]
impl RevisionResolver for Heads {
    async fn resolve(&self, repo_url: &str, target: &str) -> Result<String, String> {
        let heads = self.0.lock().unwrap();
        let head = heads.get(repo_url).ok_or("failed to list refs: repository not found: ")?;
        Ok(if target == "main" { head.clone() } else { target.to_owned() })
    }
}

/// What an event changed, in the words of `steps-argocd` 13.
fn kinds(before: &Value, after: &Value) -> String {
    let mut kinds = Vec::new();
    let mut say = |kind: &'static str, holds: bool| {
        if holds {
            kinds.push(kind);
        }
    };
    let differs = |path: &[&str]| {
        let at = |v: &Value| path.iter().fold(v, |v, key| &v[*key]).clone();
        at(before) != at(after)
    };
    let state = |v: &Value| v["status"]["operationState"].clone();
    let running = |v: &Value| state(v)["phase"] == json!("Running");
    let requested = differs(&["operation"]) && after["operation"].is_object();
    say("request", requested && after["operation"]["info"].is_array());
    say("own request", requested && !after["operation"]["info"].is_array());
    say(
        "running",
        running(after) && (!running(before) || differs(&["status", "operationState", "startedAt"])),
    );
    let revisions =
        differs(&["status", "sync", "revision"]) || differs(&["status", "sync", "revisions"]);
    let synced = after["status"]["sync"]["status"] == json!("Synced");
    let status = differs(&["status", "sync", "status"]);
    let known = after["status"]["sync"]["status"].as_str().is_some_and(|s| !s.is_empty());
    say("compared", known && (revisions || (status && !synced)));
    let annotation =
        |v: &Value| v["metadata"]["annotations"]["argocd.argoproj.io/refresh"].is_string();
    say("refreshed", annotation(before) && !annotation(after));
    say("history", differs(&["status", "history"]));
    let between = |v: &Value| running(v) && state(v)["finishedAt"].is_string();
    say("attempt failed", between(after) && !between(before));
    say("retrying", between(before) && running(after) && !between(after));
    say("finished", before["operation"].is_object() && after["operation"].is_null());
    say("settled", status && synced && !revisions);
    kinds.join("+")
}

fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in changes {
        if change.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            apply(&mut target[key.as_str()], change);
        }
    }
}

/// What a trace's events of an Application changed, case by case, from the
/// given word on.
fn trace(file: &str) -> Option<BTreeMap<(u32, String), Vec<String>>> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/argocd").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    let mut objects: BTreeMap<String, Value> = BTreeMap::new();
    let mut cases: BTreeMap<(u32, String), Vec<String>> = BTreeMap::new();
    let mut number = 0;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(title) = line["case"].as_str() {
            number = title.split_once(' ').unwrap().0.parse().unwrap();
            continue;
        }
        let name = line["name"].as_str().unwrap();
        let object = objects.entry(name.to_owned()).or_default();
        let before = object.clone();
        apply(object, &line["patch"]);
        let kinds = kinds(&before, object);
        if !kinds.is_empty() {
            cases.entry((number, name.to_owned())).or_default().push(kinds);
        }
    }
    Some(cases)
}

/// A cluster that knows Applications.
fn client() -> kube::Client {
    let cluster = crate::kubernetes::Api::new();
    cluster.load(crate::kubernetes::ARGOCD_DEFINITIONS).unwrap();
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}});
    cluster.load_value(namespace).unwrap();
    cluster.client()
}

/// The sandbox with one Application, and what has changed on it so far.
struct Scene {
    api: Api<DynamicObject>,
    name: String,
    last: Value,
    events: std::pin::Pin<Box<dyn futures::Stream<Item = Value> + Send>>,
    heads: Arc<Heads>,
    argocd: ArgoCd,
}

impl Scene {
    async fn new(release: Release, name: &str, spec: Value, heads: &[(&str, &str)]) -> Self {
        let options = ArgoCdOptions { release, ..ArgoCdOptions::default() };
        Self::with(options, name, spec, heads).await
    }

    async fn with(options: ArgoCdOptions, name: &str, spec: Value, heads: &[(&str, &str)]) -> Self {
        let client = client();
        let resolver = Arc::new(Heads::default());
        heads.iter().for_each(|(repo, head)| resolver.set(repo, head));
        let argocd = ArgoCd::start(client.clone(), resolver.clone(), options);
        let api: Api<DynamicObject> = Api::namespaced_with(client, "argocd", &resource());
        let app = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name}, "spec": spec,
        }))
        .unwrap();
        let created = api.create(&PostParams::default(), &app).await.unwrap();
        let version = created.metadata.resource_version.clone().unwrap();
        let events =
            api.watch(&WatchParams::default().timeout(60), &version).await.unwrap().filter_map(
                async |event| match event {
                    Ok(WatchEvent::Modified(object)) => Some(serde_json::to_value(object).unwrap()),
                    _ => None,
                },
            );
        Self {
            last: serde_json::to_value(created).unwrap(),
            api,
            name: name.into(),
            events: Box::pin(events),
            heads: resolver,
            argocd,
        }
    }

    /// Reads events until they have changed what is expected, or for long
    /// enough to say that they do not.
    async fn expect(&mut self, what: &str, expected: &[String]) {
        let mut seen = Vec::new();
        let read = async {
            while seen.len() < expected.len() {
                let Some(after) = self.events.next().await else { break };
                let kinds = kinds(&self.last, &after);
                self.last = after;
                if !kinds.is_empty() {
                    seen.push(kinds);
                }
            }
        };
        let _ = tokio::time::timeout(std::time::Duration::from_secs(20), read).await;
        assert_eq!(seen, expected, "{what}");
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) {
        let read = async {
            while !holds(&self.last) {
                let Some(after) = self.events.next().await else { break };
                self.last = after;
            }
        };
        let _ = tokio::time::timeout(std::time::Duration::from_secs(20), read).await;
        assert!(holds(&self.last), "{what}: {}", self.last);
    }

    async fn request(&self, promotion: &str, retry: Value) {
        let patch = json!({
            "metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}},
            "operation": {
                "info": [{"name": "kargo.akuity.io/promotion", "value": promotion}],
                "initiatedBy": {"automated": true, "username": "kargo-controller"},
                "retry": retry, "sync": {},
            },
            "status": {"operationState": null},
        });
        self.patch(&patch).await;
    }

    async fn patch(&self, patch: &Value) {
        self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

const RELEASES: [(Release, &str); 2] =
    [(Release::Current, "trace.jsonl"), (Release::V3_2_6, "trace-3.2.6.jsonl")];

fn one(repo: &str) -> Value {
    json!({"project": "default", "source": {"repoURL": repo, "path": "d", "targetRevision": "main"}})
}

#[tokio::test]
async fn it_writes_in_the_order_of_a_real_one() {
    for (release, file) in RELEASES {
        let Some(cases) = trace(file) else { return };
        let expected = |number: u32, name: &str| cases[&(number, name.to_owned())].clone();
        let mut scene = Scene::new(release, "one", one("r"), &[("r", "a1")]).await;
        // No sync policy: a first comparison, then syncs by Promotions.
        scene.expect("1 created", &expected(1, "one")).await;
        scene.request("p1", json!({})).await;
        scene.expect("2 first sync", &expected(2, "one")).await;
        scene.heads.set("r", "a2");
        scene.request("p2", json!({})).await;
        scene.expect("3 new commit", &expected(3, "one")).await;
        scene.request("p3", json!({})).await;
        scene.expect("4 nothing to do", &expected(4, "one")).await;
        scene.patch(&writes_refresh()).await;
        scene.expect("5 refresh alone", &expected(5, "one")).await;
        scene.heads.set("r", "a3");
        scene.patch(&writes_refresh()).await;
        scene.expect("6 refresh after a commit", &expected(6, "one")).await;
        scene.heads.set("r", "a4");
        scene.argocd.knobs().fail_next_sync("argocd", "one", "ConfigMap \"Bad_Name\" is invalid");
        scene.request("p4", json!({})).await;
        scene.expect("7 refused", &expected(7, "one")).await;
        assert_eq!(
            scene.last["status"]["operationState"]["message"],
            "one or more objects failed to apply, reason: ConfigMap \"Bad_Name\" is invalid"
        );
        scene.heads.set("r", "a5");
        scene.request("p5", json!({})).await;
        scene.expect("9 mended", &expected(9, "one")).await;
        let last = &scene.last["status"];
        assert_eq!(last["history"].as_array().unwrap().len(), 4);
        assert_eq!(last["operationState"]["syncResult"]["revision"], "a5");
        assert_eq!(last["sync"]["revision"], "a5");

        let mut policy = one("r");
        policy["syncPolicy"] = json!({"automated": {"prune": true, "selfHeal": true}});
        let mut scene = Scene::new(release, "two", policy, &[("r", "b1")]).await;
        let all = expected(12, "two");
        let ours = all.iter().position(|k| k == "request").unwrap();
        scene.expect("12 automated", &all[..ours]).await;
        scene.heads.set("r", "b2");
        scene.request("p6", json!({})).await;
        scene.expect("12 healed at once", &all[ours..]).await;
        scene.heads.set("r", "b3");
        for _ in 0..3 {
            scene.argocd.knobs().fail_next_sync("argocd", "two", "refused");
        }
        scene.request("p7", json!({"limit": 2})).await;
        scene.expect("14 retries", &expected(14, "two")).await;
        scene
            .until("a condition", |app| {
                app["status"]["conditions"][0]["type"] == json!("SyncError")
            })
            .await;

        let mut scene = Scene::new(release, "three", one("nowhere"), &[]).await;
        let all = expected(15, "three");
        scene.expect("15 unreadable", &all[..1]).await;
        assert_eq!(scene.last["status"]["sync"]["revision"], "main");
        scene.request("p8", json!({})).await;
        scene.expect("15 unreadable", &all[1..]).await;
        let state = &scene.last["status"]["operationState"];
        assert_eq!(
            (&state["phase"], &state["syncResult"]["revision"]),
            (&json!("Error"), &json!(""))
        );

        let sources = json!({"project": "default", "sources": [
            {"repoURL": "r", "targetRevision": "main"}, {"repoURL": "s", "targetRevision": "main"}]});
        let mut scene = Scene::new(release, "four", sources, &[("r", "c1"), ("s", "c2")]).await;
        let all = expected(16, "four");
        scene.expect("16 two sources", &all[..1]).await;
        scene.request("p9", json!({})).await;
        scene.expect("16 two sources", &all[1..]).await;
        let state = &scene.last["status"]["operationState"];
        assert_eq!(state["syncResult"]["revisions"], json!(["c1", "c2"]));
    }
}

fn writes_refresh() -> Value {
    json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}})
}

#[tokio::test]
async fn of_two_requests_at_once_one_is_lost() {
    for (release, file) in RELEASES {
        let mut scene = Scene::new(release, "one", one("r"), &[("r", "a1")]).await;
        scene.until("compared", |app| app["status"]["reconciledAt"].is_string()).await;
        scene.argocd.knobs().pause();
        scene.request("first", json!({})).await;
        if release == Release::Current {
            // It has begun the first one when the second comes.
            scene.argocd.knobs().set_delays(Delays {
                compare: std::time::Duration::from_millis(300),
                ..Delays::NONE
            });
            scene.argocd.knobs().resume();
            scene.until("begun", |app| app["status"]["operationState"].is_object()).await;
            scene.request("second", json!({})).await;
        } else {
            scene.request("second", json!({})).await;
            scene.argocd.knobs().resume();
        }
        scene
            .until("ended", |app| {
                app["operation"].is_null()
                    && app["status"]["operationState"]["phase"] == json!("Succeeded")
            })
            .await;
        let expected = if release == Release::Current { "first" } else { "second" };
        let info = &scene.last["status"]["operationState"]["operation"]["info"][0]["value"];
        assert_eq!(info, expected, "{file}");
        assert_eq!(scene.argocd.knobs().operations("argocd", "one"), 1);
    }
}

#[tokio::test]
async fn a_sync_waits_for_its_hook() {
    for (release, file) in RELEASES {
        let mut scene = Scene::new(release, "one", one("r"), &[("r", "a1")]).await;
        scene.until("compared", |app| app["status"]["reconciledAt"].is_string()).await;
        let waits = |app: &Value, promotion: &str| {
            let state = &app["status"]["operationState"];
            app["operation"].is_object()
                && state["phase"] == json!("Running")
                && state["syncResult"]["revision"] == json!("a1")
                && state["operation"]["info"][0]["value"] == json!(promotion)
        };
        scene.argocd.knobs().hold("argocd", "one");
        scene.request("first", json!({})).await;
        scene.until("waiting", |app| waits(app, "first")).await;
        // The next request takes its place: it begins anew.
        scene.request("second", json!({})).await;
        scene.until("waiting for the second", |app| waits(app, "second")).await;
        scene.patch(&json!({"status": {"operationState": {"phase": "Terminating"}}})).await;
        scene.until("ended", |app| app["operation"].is_null()).await;
        let state = &scene.last["status"]["operationState"];
        assert_eq!(state["phase"], "Failed", "{file}");
        assert_eq!(state["message"], "Operation terminated", "{file}");
        assert!(scene.last["status"]["history"].is_null(), "{file}");
        scene.request("third", json!({})).await;
        scene.until("waiting for the third", |app| waits(app, "third")).await;
        scene.argocd.knobs().let_go("argocd", "one");
        scene.until("synced", |app| app["status"]["sync"]["status"] == json!("Synced")).await;
        assert_eq!(scene.last["status"]["history"].as_array().map(Vec::len), Some(1), "{file}");
        assert_eq!(scene.argocd.knobs().operations("argocd", "one"), 3, "{file}");
    }
}

#[tokio::test]
async fn health_can_be_ordered_and_a_pin_is_followed() {
    let mut scene = Scene::new(Release::Current, "one", one("r"), &[("r", "a1")]).await;
    scene.until("compared", |app| app["status"]["reconciledAt"].is_string()).await;
    scene.argocd.knobs().set_health(
        "argocd",
        "one",
        Some(knobs::Health { status: "Progressing".into(), message: "Caused by web".into() }),
    );
    scene.patch(&json!({"spec": {"source": {"targetRevision": "pinned"}}})).await;
    scene.request("p", json!({})).await;
    scene.until("synced", |app| app["status"]["sync"]["status"] == json!("Synced")).await;
    assert_eq!(scene.last["status"]["sync"]["revision"], "pinned");
    assert_eq!(scene.last["status"]["health"]["status"], "Progressing");
    assert_eq!(scene.last["status"]["health"]["message"], "Caused by web");
    scene.argocd.knobs().set_health("argocd", "one", None);
    scene.patch(&writes_refresh()).await;
    scene.until("healthy", |app| app["status"]["health"]["status"] == json!("Healthy")).await;
}

#[tokio::test]
async fn a_branch_that_moves_is_noticed_where_it_polls() {
    for automated in [false, true] {
        let mut spec = one("r");
        if automated {
            spec["syncPolicy"] = json!({"automated": {}});
        }
        let options = ArgoCdOptions {
            poll: Some(std::time::Duration::from_millis(20)),
            ..ArgoCdOptions::default()
        };
        let mut scene = Scene::with(options, "one", spec, &[("r", "a1")]).await;
        scene.until("compared", |app| app["status"]["sync"]["revision"] == json!("a1")).await;
        scene.heads.set("r", "a2");
        let status = if automated { "Synced" } else { "OutOfSync" };
        scene
            .until("noticed", |app| {
                app["status"]["sync"]["revision"] == json!("a2")
                    && app["status"]["sync"]["status"] == json!(status)
            })
            .await;
    }
}
