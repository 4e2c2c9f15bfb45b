//! The pages of the step kinds are up to date, and their examples run.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::{PromotionPhase, PromotionStep};
use async_trait::async_trait;
use promotion::engine::{Engine, Outcome, RecordError, Recorder, Run};
use promotion::error::StepError;
use promotion::functions::{Entries, KargoFunctions, Lookups, Scope, SecretEntries};
use promotion::reference::{doc_comment, examples, file_of};
use promotion::step::{Effect, Registry, Step, StepContext, StepResult};
use promotion::world::World;
use serde_json::{Map, Value, json};
use supercargo::wiring::steps;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

#[test]
fn the_pages_are_up_to_date() {
    let folder = top().join("docs/steps");
    let pages = supercargo::reference::pages(&steps(), &top()).unwrap();
    let mut behind = Vec::new();
    for (name, text) in &pages {
        if std::fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text) {
            behind.push(name.clone());
        }
    }
    let written: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    behind.extend(written.into_iter().filter(|name| pages.iter().all(|(page, _)| page != name)));
    assert!(behind.is_empty(), "`make docs` writes these pages of docs/steps anew: {behind:?}");
}

/// A step kind that takes the config of the real one and does nothing.
struct Rehearsed(Arc<dyn Step>);

#[async_trait]
impl Step for Rehearsed {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }
    fn effect(&self) -> Effect {
        Effect::Reads
    }
    fn config_schema(&self) -> Value {
        self.0.config_schema()
    }
    async fn run(&self, _: &StepContext, _: &World) -> Result<StepResult, StepError> {
        Ok(StepResult::succeeded().with_output(anything()))
    }
}

/// What steps of the examples' surroundings may have left.
fn anything() -> Map<String, Value> {
    let output = json!({
        "commit": COMMIT,
        "commits": {"./src": COMMIT},
        "commitMessage": "a message", "branch": "kargo/promotion/p", "tag": "v1.0.0",
        "pr": {"id": 42, "url": "https://github.com/example/repo/pull/42"}, "prNumber": 42,
        "image": "example/app:v1", "version": "1.0.0", "oldTag": "v0.9.0", "digest": "sha256:0",
    });
    output.as_object().cloned().unwrap()
}

/// The names behind `prefix.` or in `prefix['…']` in the text.
fn named(text: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in text.split(prefix).skip(1) {
        let (quote, body) = match (rest.strip_prefix("['"), rest.strip_prefix("[\"")) {
            (Some(body), _) => (Some('\''), body),
            (_, Some(body)) => (Some('"'), body),
            _ => match rest.strip_prefix('.') {
                Some(body) => (None, body),
                None => continue,
            },
        };
        let is_end = |c: char| match quote {
            Some(quote) => c == quote,
            None => !(c.is_alphanumeric() || c == '_'),
        };
        names.extend(body.split(is_end).next().filter(|n| !n.is_empty()).map(str::to_owned));
    }
    names
}

struct NothingThere;

#[async_trait]
impl Lookups for NothingThere {
    async fn config_map(&self, _: Scope, _: &str) -> Result<Option<Entries>, String> {
        Ok(None)
    }
    async fn secret(&self, _: Scope, _: &str) -> Result<Option<SecretEntries>, String> {
        Ok(None)
    }
    async fn freight_status(&self, _: &str) -> Result<Option<api::FreightStatus>, String> {
        Ok(None)
    }
    async fn stage_metadata(
        &self,
        _: &str,
    ) -> Result<Option<std::collections::BTreeMap<String, Value>>, String> {
        Ok(None)
    }
    async fn warehouse(&self, _: &str) -> Result<Option<api::Warehouse>, String> {
        let subscribed = json!({"repoURL": REPOSITORY});
        let warehouse = serde_json::from_value(json!({
            "metadata": {"name": "w", "namespace": "project"},
            "spec": {"subscriptions": [
                {"image": subscribed}, {"git": subscribed}, {"chart": subscribed}]},
        }));
        warehouse.map(Some).map_err(|e| e.to_string())
    }
}

struct Unwritten;

#[async_trait]
impl Recorder for Unwritten {
    async fn record(&mut self, _: &api::PromotionStatus) -> Result<(), RecordError> {
        Ok(())
    }
}

/// Not of digits alone: an expression's text that reads as a number is one.
const COMMIT: &str = "a123456789012345678901234567890123456789";

const REPOSITORY: &str = "https://github.com/example/repo";

fn run_of(steps: Vec<PromotionStep>, vars: BTreeSet<String>, workdir: PathBuf) -> Run {
    let origin = json!({"kind": "Warehouse", "name": "w"});
    let target: api::FreightReference = serde_json::from_value(json!({
        "name": "f1234567", "origin": origin,
        "images": [{"repoURL": REPOSITORY, "tag": "v1.0.0", "digest": "sha256:0"}],
        "charts": [{"repoURL": REPOSITORY, "version": "1.0.0"}],
        "commits": [{"repoURL": REPOSITORY, "id": COMMIT}],
    }))
    .unwrap();
    Run {
        project: "project".into(),
        stage: "stage".into(),
        promotion: "stage.01k.f123456".into(),
        promotion_uid: "u".into(),
        actor: "me".into(),
        rollback: false,
        ui_base_url: "https://kargo.example.com".into(),
        vars: vars
            .into_iter()
            .map(|name| api::ExpressionVariable { name, value: REPOSITORY.into() })
            .collect(),
        steps,
        freight_requests: serde_json::from_value(
            json!([{"origin": origin, "sources": {"direct": true}}]),
        )
        .unwrap(),
        freight: serde_json::from_value(json!({"id": "c", "items": {"Warehouse/w": target}}))
            .unwrap(),
        target_freight: target,
        target_alias: "happy-otter".into(),
        workdir,
        cancel: tokio_util::sync::CancellationToken::new(),
    }
}

/// Each example is evaluated and checked as a Promotion would: its kinds
/// exist, its expressions have values, its config fits the schema.
#[tokio::test]
async fn the_examples_run() {
    let known = steps();
    let mut rehearsed = Registry::default();
    for kind in known.names() {
        rehearsed = rehearsed.with(Rehearsed(Arc::clone(known.get(kind).unwrap())));
    }
    let functions = KargoFunctions::new(|_: &str| -> Arc<dyn Lookups> { Arc::new(NothingThere) });
    let engine = Engine::new(rehearsed, World::default(), functions);
    let temp = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for kind in known.names() {
        let file = file_of(&top().join("crates/promotion/src/steps"), kind).unwrap();
        let doc = doc_comment(&std::fs::read_to_string(file).unwrap());
        for (n, example) in examples(&doc).iter().enumerate() {
            let parsed: Result<Vec<PromotionStep>, _> = serde_yaml::from_str(example);
            let Ok(parsed) = parsed else {
                wrong.push(format!("{kind} {n}: {}", parsed.unwrap_err()));
                continue;
            };
            if !parsed.iter().any(|step| step.uses == kind) {
                wrong.push(format!("{kind} {n}: does not use {kind}"));
            }
            let own: BTreeSet<&str> = parsed.iter().map(|s| s.alias.as_str()).collect();
            let before =
                named(example, "outputs").into_iter().filter(|a| !own.contains(a.as_str()));
            let state: Map<String, Value> = before.map(|a| (a, anything().into())).collect();
            let status = api::PromotionStatus { state: Some(state), ..Default::default() };
            let workdir = temp.path().join(format!("promotion-{kind}-{n}"));
            let run = run_of(parsed, named(example, "vars"), workdir);
            match engine.run(&run, status, &mut Unwritten).await {
                Outcome::Finished(status) if status.phase == PromotionPhase::Succeeded => {}
                Outcome::Finished(status) => wrong.push(format!("{kind} {n}: {}", status.message)),
                other => wrong.push(format!("{kind} {n}: {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "examples that do not run:\n{}", wrong.join("\n"));
}
