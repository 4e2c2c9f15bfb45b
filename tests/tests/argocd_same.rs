//! The simulated Argo CD is held to a real one (`steps-argocd` 13): the same
//! requests to both, beside one another on one API server, and the same facts
//! written in the same order.

use std::collections::HashMap;

use async_trait::async_trait;
use e2e::deployed::Deployed;
use e2e::held::{Facts, Recording};
use e2e::ships::{self, TARGET, config_map};
use e2e::{await_that, cluster};
use kube::api::{Patch, PatchParams};
use peers::argocd::NAMESPACE as REAL;
use sandbox::argocd::knobs::Health;
use sandbox::argocd::{ArgoCd, ArgoCdOptions, Release, RevisionResolver};
use serde_json::{Value, json};
use tokio::sync::RwLock;

/// The namespace whose Applications the simulated one sees.
const SIMULATED: &str = "simulated";

/// The commits of one repository, oldest first; its branch is at the last one.
#[derive(Default)]
struct Commits {
    url: String,
    ids: RwLock<Vec<String>>,
}

struct Resolver(std::sync::Arc<Commits>);

#[async_trait]
impl RevisionResolver for Resolver {
    async fn resolve(&self, url: &str, target: &str) -> Result<String, String> {
        let ids = self.0.ids.read().await;
        match ids.last() {
            Some(head) if url == self.0.url && target == "main" => Ok(head.clone()),
            Some(_) if url == self.0.url && ids.iter().any(|id| id == target) => Ok(target.into()),
            _ => Err("failed to list refs: repository not found: ".to_owned()),
        }
    }
}

/// What is done to an Application of each.
enum Act {
    Make(Value),
    Change(Value),
    Delete,
    /// Its hook has done its work.
    End,
}

/// The facts that both must come to.
fn facts(wanted: &[(&'static str, &str)]) -> Facts {
    wanted.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
}

/// An Application of each name on both sides.
struct Both<'a> {
    deployed: &'a Deployed,
    simulated: &'a ArgoCd,
    recordings: HashMap<(&'static str, String), Recording>,
}

impl Both<'_> {
    /// Acts on both, waits for what both must come to, and compares the way.
    async fn act(&mut self, what: &str, name: &str, act: &Act, wanted: &Facts) {
        let mut ways = Vec::new();
        for side in [REAL, SIMULATED] {
            let api = self.deployed.applications(side);
            let told = format!("{what}, {side}");
            let key = (side, name.to_owned());
            if let Act::Make(spec) = act {
                let recording = Recording::start(api.clone(), name).await;
                self.recordings.insert(key.clone(), recording);
                let mut application = json!({
                    "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                    "metadata": {"name": name, "namespace": side},
                    "spec": spec,
                });
                application["spec"]["project"] = json!("default");
                application["spec"]["destination"] =
                    json!({"server": "https://kubernetes.default.svc", "namespace": TARGET});
                let application = serde_json::from_value(application).expect("it is an object");
                cluster::apply(&self.deployed.pipeline.client(), &application)
                    .await
                    .expect("it is made");
            }
            let recording = self.recordings.get_mut(&key).expect("it was made");
            match act {
                Act::Make(_) => recording.until(&told, wanted).await,
                Act::Change(patch) => {
                    let params = PatchParams::default();
                    api.patch(name, &params, &Patch::Merge(patch)).await.expect("it is changed");
                    recording.until(&told, wanted).await;
                }
                Act::Delete => {
                    api.delete(name, &Default::default()).await.expect("it is deleted");
                    recording.until_gone(&told).await;
                }
                Act::End => {
                    if side == REAL {
                        // Whichever Pod it is: another sync makes another one.
                        let hook = format!("{name}-hook");
                        await_that::answer("the end of a hook", || async {
                            let _gone = ships::finish(self.deployed, &hook).await;
                            let application = api.get(name).await.expect("it is there");
                            application.data.get("operation").is_none().then_some(())
                        })
                        .await;
                    } else {
                        self.simulated.knobs().let_go(side, name);
                    }
                    recording.until(&told, wanted).await;
                }
            }
            ways.push(either_order(recording.moves()));
        }
        println!("{what}:\n  {}\nsimulated:\n  {}", ways[0].join("\n  "), ways[1].join("\n  "));
        assert_eq!(ways[0], ways[1], "{what}: a real Argo CD, and the simulated one");
    }
}

/// One part of Argo CD begins and ends an operation and another compares: where
/// both have to write, either may be first. Here the comparison stands before
/// the beginning, and the one that finds all synced behind the end.
fn either_order(mut way: Vec<String>) -> Vec<String> {
    let compares = |what: &String| {
        let compared = ["conditions: ", "health: ", "refresh: ", "revision: ", "sync: "];
        what.split(", ").all(|fact| compared.iter().any(|c| fact.starts_with(c)))
    };
    for n in 1..way.len() {
        if way[n - 1] == "phase: Running" && compares(&way[n]) {
            way.swap(n - 1, n);
        }
        if way[n - 1].ends_with("sync: Synced") && way[n].starts_with("operation: none") {
            way.swap(n - 1, n);
        }
    }
    way
}

fn refresh(how: &str) -> Act {
    Act::Change(json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": how}}}))
}

/// A request to sync clears the state of the last one, whoever makes it.
fn sync(revision: Option<&str>) -> Act {
    let mut sync = json!({});
    if let Some(revision) = revision {
        sync["revision"] = json!(revision);
    }
    Act::Change(json!({
        "operation": {"initiatedBy": {"username": "somebody"}, "sync": sync},
        "status": {"operationState": null},
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_requests_the_same_writes() {
    let Some(mut deployed) = Deployed::start("a real Argo CD beside the simulated one").await
    else {
        return;
    };
    // A hook that is to be made anew goes before, which this finds out.
    assert!(deployed.pipeline.world.cluster.collects(), "nothing is ever removed here");
    for namespace in [TARGET, SIMULATED] {
        deployed.namespace(namespace).await;
    }
    let files = [
        ("plain/config.yaml", &*config_map("plain", "one")),
        ("bad/service.yaml", &*ships::refused("bad")),
        ("slow/deployment.yaml", &*ships::deployment("slow")),
        ("own/config.yaml", &*config_map("own", "one")),
        ("held/config.yaml", &*config_map("held", "one")),
        ("held/hook.yaml", &*ships::hook("held-hook")),
    ];
    let repository = deployed.repository(&files).await;
    let commits = std::sync::Arc::new(Commits { url: repository.url(), ..Default::default() });
    let heads = || async {
        let mut ids = repository.commits("main").await;
        ids.reverse();
        ids
    };
    *commits.ids.write().await = heads().await;
    let simulated = ArgoCd::start(
        deployed.pipeline.client(),
        std::sync::Arc::new(Resolver(commits.clone())),
        ArgoCdOptions {
            namespace: Some(SIMULATED.into()),
            release: Release::V3_2_6,
            ..Default::default()
        },
    );
    let mut both = Both { deployed: &deployed, simulated: &simulated, recordings: HashMap::new() };
    let source = |path: &str| json!({"source": {"repoURL": repository.url(), "path": path, "targetRevision": "main"}});
    let first = heads().await.pop().expect("it has a commit");
    let at = first.as_str();

    // An Application's life.
    let new = facts(&[("health", "Healthy"), ("revision", at), ("sync", "OutOfSync")]);
    both.act("made", "plain", &Act::Make(source("plain")), &new).await;
    both.act("a look", "plain", &refresh("normal"), &new).await;
    both.act("a hard look", "plain", &refresh("hard"), &new).await;
    let synced = |history: &str, result: &str, status: &str, at: &str| {
        facts(&[
            ("health", "Healthy"),
            ("history", history),
            ("phase", "Succeeded"),
            ("result", result),
            ("revision", at),
            ("sync", status),
        ])
    };
    let wanted = synced(&format!("1 of {at}"), at, "Synced", at);
    both.act("a sync", "plain", &sync(None), &wanted).await;
    let wanted = synced(&format!("2 of {at}"), at, "Synced", at);
    both.act("a sync of nothing", "plain", &sync(None), &wanted).await;
    // What differs between the commits is what tells one from the other later.
    let (plain, held) = (config_map("plain", "two"), config_map("held", "two"));
    let changed = [("plain/config.yaml", &*plain), ("held/config.yaml", &*held)];
    repository.write("main", &changed).await;
    *commits.ids.write().await = heads().await;
    let second = heads().await.pop().expect("it has commits");
    let wanted = synced(&format!("2 of {at}"), at, "OutOfSync", &second);
    both.act("a commit, and a look", "plain", &refresh("hard"), &wanted).await;
    let wanted = synced(&format!("3 of {at}"), at, "OutOfSync", &second);
    both.act("a sync to an older commit", "plain", &sync(Some(at)), &wanted).await;
    let target =
        |revision: &str| Act::Change(json!({"spec": {"source": {"targetRevision": revision}}}));
    let wanted = synced(&format!("3 of {at}"), at, "Synced", at);
    both.act("another target", "plain", &target(at), &wanted).await;
    let wanted = synced(&format!("3 of {at}"), at, "OutOfSync", &second);
    both.act("the target as before", "plain", &target("main"), &wanted).await;
    let wanted = synced(&format!("4 of {second}"), &second, "Synced", &second);
    let Act::Change(mut asked) = sync(None) else { unreachable!() };
    asked["metadata"]["annotations"]["argocd.argoproj.io/refresh"] = json!("hard");
    both.act("a sync to the head, as the step asks", "plain", &Act::Change(asked), &wanted).await;
    both.act("deleted", "plain", &Act::Delete, &Facts::new()).await;

    // A manifest that the API server refuses.
    let new = facts(&[("health", "Missing"), ("revision", &second), ("sync", "OutOfSync")]);
    let missing = || Some(Health { status: "Missing".into(), message: String::new() });
    simulated.knobs().set_health(SIMULATED, "bad", missing());
    simulated.knobs().set_health(SIMULATED, "slow", missing());
    both.act("made with a bad manifest", "bad", &Act::Make(source("bad")), &new).await;
    simulated.knobs().fail_next_sync(SIMULATED, "bad", "the Service is invalid");
    let wanted = facts(&[
        ("health", "Missing"),
        ("phase", "Failed"),
        ("result", &second),
        ("revision", &second),
        ("sync", "OutOfSync"),
    ]);
    both.act("a sync that is refused", "bad", &sync(None), &wanted).await;

    let Act::Change(mut asked) = sync(None) else { unreachable!() };
    asked["operation"]["retry"] = json!({"limit": 1, "backoff": {"duration": "1s", "factor": 1}});
    for _ in 0..2 {
        simulated.knobs().fail_next_sync(SIMULATED, "bad", "the Service is invalid");
    }
    both.act("a sync that is refused twice", "bad", &Act::Change(asked), &wanted).await;

    // A workload that does not become ready.
    both.act("made with a workload", "slow", &Act::Make(source("slow")), &new).await;
    let message = format!("Caused by apps/Deployment:{TARGET}/slow");
    let progressing = Health { status: "Progressing".into(), message };
    simulated.knobs().set_health(SIMULATED, "slow", Some(progressing));
    let wanted = facts(&[
        ("health", "Progressing"),
        ("history", &format!("1 of {second}")),
        ("phase", "Succeeded"),
        ("result", &second),
        ("revision", &second),
        ("sync", "Synced"),
    ]);
    both.act("a sync of a slow workload", "slow", &sync(None), &wanted).await;

    // A hook that runs until it is told to end.
    let new = facts(&[("health", "Healthy"), ("revision", &second), ("sync", "OutOfSync")]);
    both.act("made with a hook", "held", &Act::Make(source("held")), &new).await;
    simulated.knobs().hold(SIMULATED, "held");
    let waiting = |result: &str| {
        facts(&[
            ("health", "Healthy"),
            ("operation", "asked for"),
            ("phase", "Running"),
            ("result", result),
            ("revision", &second),
            ("sync", "OutOfSync"),
        ])
    };
    both.act("a sync that waits for a hook", "held", &sync(None), &waiting(&second)).await;
    let mut wanted = waiting(&second);
    wanted.remove("operation");
    wanted.insert("phase", "Failed".into());
    let terminate = Act::Change(json!({"status": {"operationState": {"phase": "Terminating"}}}));
    both.act("told to terminate", "held", &terminate, &wanted).await;
    both.act("a sync that waits again", "held", &sync(None), &waiting(&second)).await;
    both.act("another request meanwhile", "held", &sync(Some(at)), &waiting(at)).await;
    let wanted = synced(&format!("1 of {at}"), at, "OutOfSync", &second);
    both.act("the hook ends", "held", &Act::End, &wanted).await;

    // A repository that is not there.
    let mut nothing = source(".");
    nothing["source"]["repoURL"] = json!(format!("{}/nobody/nothing.git", deployed.gitea.url()));
    let mut wanted = facts(&[
        ("conditions", "ComparisonError"),
        ("health", "Healthy"),
        ("revision", "main"),
        ("sync", "Unknown"),
    ]);
    both.act("made of nothing", "lost", &Act::Make(nothing), &wanted).await;
    wanted.insert("phase", "Error".into());
    both.act("a sync of nothing that is there", "lost", &sync(None), &wanted).await;

    // One that syncs by itself.
    let mut own = source("own");
    own["syncPolicy"] = json!({"automated": {"prune": true}});
    let wanted = synced(&format!("1 of {second}"), &second, "Synced", &second);
    both.act("made to sync by itself", "own", &Act::Make(own), &wanted).await;
}
