//! The cases of `expressions` 11.7 and 11.8 that need no engine, and one of
//! 11.1.

use std::collections::BTreeMap;
use std::sync::Mutex;

use api::{
    ArtifactReference, Chart, FreightOrigin, FreightReference, FreightRequest, FreightStatus,
    GitCommit, Image, Warehouse,
};
use async_trait::async_trait;
use expr::{Env, Error, LookupCache, LookupKey, Value};
use serde_json::{Value as Json, json};

use super::{Entries, FunctionContext, Lookups, Scope, SecretEntries, install, resolve};

#[derive(Default)]
struct Cluster {
    config_maps: Mutex<BTreeMap<String, Entries>>,
    secrets: BTreeMap<String, SecretEntries>,
    freight: BTreeMap<String, FreightStatus>,
    warehouses: BTreeMap<String, Warehouse>,
    /// Every fetch, in order.
    fetched: Mutex<Vec<String>>,
}

impl Cluster {
    fn note(&self, what: &str, name: &str) {
        self.fetched.lock().unwrap().push(format!("{what} {name}"));
    }
}

#[async_trait]
impl Lookups for Cluster {
    async fn config_map(&self, _: Scope, name: &str) -> Result<Option<Entries>, String> {
        self.note("configmap", name);
        Ok(self.config_maps.lock().unwrap().get(name).cloned())
    }

    async fn secret(&self, _: Scope, name: &str) -> Result<Option<SecretEntries>, String> {
        self.note("secret", name);
        if name == "forbidden" {
            return Err("secrets is forbidden".to_owned());
        }
        Ok(self.secrets.get(name).cloned())
    }

    async fn freight_status(&self, name: &str) -> Result<Option<FreightStatus>, String> {
        self.note("freight", name);
        Ok(self.freight.get(name).cloned())
    }

    async fn stage_metadata(&self, name: &str) -> Result<Option<BTreeMap<String, Json>>, String> {
        self.note("stage", name);
        let found = (name == "prod").then(|| [("k".to_owned(), json!("v"))].into_iter().collect());
        Ok(found)
    }

    async fn warehouse(&self, name: &str) -> Result<Option<Warehouse>, String> {
        self.note("warehouse", name);
        Ok(self.warehouses.get(name).cloned())
    }
}

fn data(entries: &[(&str, &str)]) -> Entries {
    Some(entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

/// One attempt at a step.
struct Attempt {
    cluster: Cluster,
    context: FunctionContext,
    cache: LookupCache,
    env: Env,
}

impl Attempt {
    fn new(cluster: Cluster, context: FunctionContext) -> Self {
        let mut env = Env::new();
        env.set("vars", Value::from_decoded_json(json!({"a": "w", "n": 42})));
        Self { cluster, context, cache: LookupCache::new(), env }
    }

    async fn template(&mut self, text: &str) -> Result<Json, Error> {
        install(&mut self.env, &self.cache, self.context.clone());
        let evaluate = || expr::template::evaluate(text, &self.env);
        let cluster = &self.cluster;
        let fetch = async |key: LookupKey| resolve(cluster, &key).await;
        expr::lookup::drive(&self.cache, evaluate, fetch).await
    }

    async fn eval(&mut self, expression: &str) -> Result<Json, Error> {
        self.template(&format!("${{% {expression} %}}")).await
    }

    async fn gives(&mut self, id: &str, expression: &str, expected: impl Into<Json>) {
        match self.eval(expression).await {
            Ok(found) => assert_eq!(found, expected.into(), "{id}: {expression}"),
            Err(error) => panic!("{id}: {expression}: {}", error.render()),
        }
    }

    async fn fails(&mut self, id: &str, expression: &str, expected: &str) {
        match self.eval(expression).await {
            Ok(found) => panic!("{id}: {expression} gives {found}"),
            Err(error) => assert!(
                error.message().contains(expected),
                "{id}: {expression}: {}",
                error.message()
            ),
        }
    }
}

fn warehouse(name: &str, subscriptions: Vec<Json>) -> (String, Warehouse) {
    let spec = api::WarehouseSpec { subscriptions, ..Default::default() };
    (name.to_owned(), Warehouse::new(name, spec))
}

fn request(name: &str) -> FreightRequest {
    FreightRequest { origin: FreightOrigin::warehouse(name), ..Default::default() }
}

const REPO: &str = "https://github.com/x/y";

/// A Stage that asks for the Freight of Warehouse `w`, which has all kinds.
fn shop() -> Attempt {
    let subscriptions = vec![
        json!({"git": {"repoURL": REPO}}),
        json!({"image": {"repoURL": "nginx"}}),
        json!({"chart": {"repoURL": "oci://r/c"}}),
        json!({"chart": {"repoURL": "https://r", "name": "c"}}),
        json!({"name": "s", "s3": {}}),
    ];
    let freight = FreightReference {
        name: "f".to_owned(),
        origin: FreightOrigin::warehouse("w"),
        commits: vec![GitCommit {
            repo_url: REPO.to_owned(),
            id: "abc".to_owned(),
            branch: "main".to_owned(),
            ..Default::default()
        }],
        images: vec![Image {
            repo_url: "nginx".to_owned(),
            tag: "1.27".to_owned(),
            annotations: [("k".to_owned(), "v".to_owned())].into_iter().collect(),
            ..Default::default()
        }],
        charts: vec![
            Chart {
                repo_url: "oci://r/c".to_owned(),
                version: "1.0.0".to_owned(),
                ..Default::default()
            },
            Chart {
                repo_url: "https://r".to_owned(),
                name: "c".to_owned(),
                version: "2.0.0".to_owned(),
                ..Default::default()
            },
        ],
        artifacts: vec![ArtifactReference {
            artifact_type: "s3".to_owned(),
            subscription_name: "s".to_owned(),
            version: "v".to_owned(),
            metadata: Some(json!({"k": {"z": 7}})),
        }],
    };
    let cluster = Cluster {
        warehouses: [warehouse("w", subscriptions)].into_iter().collect(),
        config_maps: Mutex::new(
            [
                ("x".to_owned(), data(&[("a", "1")])),
                ("same".to_owned(), data(&[("from", "config")])),
                ("bare".to_owned(), None),
            ]
            .into_iter()
            .collect(),
        ),
        secrets: [
            ("same", SecretEntries { entries: data(&[("from", "hush-hush")]), is_generic: false }),
            ("s", SecretEntries { entries: data(&[("k", "v")]), is_generic: false }),
            ("g", SecretEntries { entries: data(&[("k", "shared")]), is_generic: true }),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect(),
        freight: [
            (
                "x".to_owned(),
                serde_json::from_value(json!({
                    "metadata": {"k": "kept"},
                    "approvedFor": {"prod": {"approvedAt": "2026-01-02T03:04:05Z"}},
                }))
                .unwrap(),
            ),
            ("bare".to_owned(), FreightStatus::default()),
        ]
        .into_iter()
        .collect(),
        ..Cluster::default()
    };
    let context = FunctionContext {
        project: "p".to_owned(),
        freight_requests: vec![request("w")],
        freight: vec![freight],
    };
    Attempt::new(cluster, context)
}

#[tokio::test]
async fn artifacts_come_from_the_freight() {
    let mut shop = shop();
    for (id, expression, expected) in [
        ("expressions/11.7-1", format!("commitFrom('{REPO}').ID"), json!("abc")),
        (
            "expressions/11.7-2",
            "commitFrom(\"https://github.com/x/Y.git\").ID".to_owned(),
            json!("abc"),
        ),
        ("expressions/11.7-3", "imageFrom(\"docker.io/library/nginx\")".to_owned(), json!(null)),
        (
            "expressions/11.7-8",
            "quote(chartFrom(\"oci://r/c\").Version)".to_owned(),
            json!("1.0.0"),
        ),
        ("expressions/11.7-8", "chartFrom(\"https://r\",\"c\").Version".to_owned(), json!("2.0.0")),
        (
            "expressions/11.7-8",
            "chartFrom(\"https://r\", \"c\", warehouse(\"w\")).Version".to_owned(),
            json!("2.0.0"),
        ),
        (
            "expressions/11.7-8",
            "chartFrom(\"oci://r/c\", warehouse(\"w\")).Version".to_owned(),
            json!("1.0.0"),
        ),
        ("expressions/11.7-10", "commitFrom(\"none\") == nil".to_owned(), json!(true)),
        ("expressions/11.7-10", "commitFrom(\"none\") ?? \"d\"".to_owned(), json!("d")),
        ("expressions/11.7-10", "commitFrom(\"none\")?.ID".to_owned(), json!(null)),
        ("expressions/11.7-16", "artifactFrom(\"s\").Metadata.k.z".to_owned(), json!(7)),
        ("expressions/11.7-17", "imageFrom(\"nginx\").Annotations[\"nope\"]".to_owned(), json!("")),
        (
            "7.4",
            format!("commitFrom('{REPO}')"),
            json!({"repoURL": REPO, "id": "abc", "branch": "main"}),
        ),
        (
            "7.4",
            "artifactFrom('s')".to_owned(),
            json!({"ArtifactType": "s3", "SubscriptionName": "s", "Version": "v", "Metadata": {"k": {"z": 7}}}),
        ),
        ("7.4", "asYAML(warehouse('w'))".to_owned(), json!("kind: Warehouse\nname: w\n")),
        (
            "7.4",
            "'x' + toJSON(imageFrom('nginx'))".to_owned(),
            json!(
                "x{\n  \"repoURL\": \"nginx\",\n  \"tag\": \"1.27\",\n  \"annotations\": {\n    \"k\": \"v\"\n  }\n}"
            ),
        ),
    ] {
        shop.gives(id, &expression, expected).await;
    }
    for (id, expression, expected) in [
        (
            "expressions/11.7-9",
            "chartFrom(\"https://r\")",
            "chart from repo https://r not found in referenced Freight",
        ),
        (
            "7.1",
            "chartFrom('https://r', 'd')",
            "chart \"d\" from repo https://r not found in referenced Freight",
        ),
        ("expressions/11.7-11", "commitFrom(\"none\").ID", "cannot fetch ID from <nil>"),
        (
            "expressions/11.7-12",
            "commitFrom(\"https://github.com/x/y\").id",
            "type v1alpha1.GitCommit has no field id",
        ),
        (
            "expressions/11.7-12",
            "commitFrom(\"https://github.com/x/y\").Foo",
            "type v1alpha1.GitCommit has no field Foo",
        ),
        // Here found at run time, by the argument's own type.
        (
            "expressions/11.7-13",
            "commitFrom(\"r\", \"w\")",
            "second argument must be FreightOrigin",
        ),
        (
            "expressions/11.7-14",
            "commitFrom(\"r\", vars.a)",
            "second argument must be FreightOrigin, got string",
        ),
        ("expressions/11.7-15", "commitFrom(vars.n)", "first argument must be string, got float64"),
        (
            "7.1",
            "chartFrom('u', '', warehouse('w'))",
            "when using three arguments, second argument must be string, got string",
        ),
        ("7.1", "chartFrom('u', 1)", "second argument must be string or FreightOrigin, got int"),
        ("7.1", "chartFrom('u', 'c', 1)", "third argument must be FreightOrigin, got int"),
        ("7", "commitFrom()", "not enough arguments to call commitFrom"),
    ] {
        shop.fails(id, expression, expected).await;
    }
}

#[tokio::test]
async fn an_origin_that_is_given_needs_no_warehouse() {
    let mut shop = shop();
    shop.cluster.warehouses.clear();
    shop.gives(
        "expressions/11.7-4",
        "commitFrom('https://github.com/x/y', warehouse(\"w\")).ID",
        "abc",
    )
    .await;
    assert!(shop.cluster.fetched.lock().unwrap().is_empty());
    shop.fails(
        "expressions/11.7-7",
        "commitFrom('https://github.com/x/y')",
        "Warehouse \"w\" not found in namespace \"p\"",
    )
    .await;
}

#[tokio::test]
async fn two_subscriptions_are_ambiguous() {
    let git = || json!({"git": {"repoURL": REPO}});
    let image = || json!({"image": {"repoURL": "i"}});
    let both = || vec![warehouse("w", vec![git(), image()]), warehouse("v", vec![git(), image()])];
    let twice = || vec![warehouse("w", vec![git(), git()])];
    for (id, warehouses, requests) in [
        ("expressions/11.7-5", both(), vec![request("w"), request("v")]),
        ("expressions/11.7-6", twice(), vec![request("w")]),
    ] {
        let cluster =
            Cluster { warehouses: warehouses.into_iter().collect(), ..Default::default() };
        let context = FunctionContext { freight_requests: requests, ..Default::default() };
        let mut attempt = Attempt::new(cluster, context);
        attempt
            .fails(
                id,
                "commitFrom('https://github.com/x/y')",
                "multiple requested Freight could potentially provide a commit from repo \
                 https://github.com/x/y; please update promotion steps to disambiguate",
            )
            .await;
    }
}

#[tokio::test]
async fn config_maps_and_secrets() {
    let mut shop = shop();
    for (id, expression, expected) in [
        ("expressions/11.7-18", "configMap(\"x\").nope", json!("")),
        ("expressions/11.7-18", "configMap(\"x\").nope ?? \"d\"", json!("")),
        ("expressions/11.7-19", "get(configMap(\"x\"), \"nope\") ?? \"d\"", json!("d")),
        ("expressions/11.7-20", "configMap(\"missing\")", json!({})),
        ("expressions/11.7-20", "secret(\"missing\")", json!({})),
        (
            "expressions/11.7-21",
            "configMap('same').from + ' ' + secret('same').from",
            json!("config hush-hush"),
        ),
        ("expressions/11.7-23", "sharedSecret(\"s\")", json!({})),
        ("7", "sharedSecret('g').k", json!("shared")),
        ("7", "secret('s').k", json!("v")),
        ("7", "configMap('bare')", json!(null)),
        ("7", "configMap('bare').x", json!("")),
    ] {
        shop.gives(id, expression, expected).await;
    }
    shop.fails("7", "secret('forbidden')", "failed to get secret forbidden: secrets is forbidden")
        .await;
    shop.fails("7", "configMap(1)", "argument must be string, got int").await;
    assert_eq!(shop.env.secrets().mask("it is hush-hush!"), "it is ***!");
    assert_eq!(shop.env.secrets().mask("config"), "config");
}

#[tokio::test]
async fn an_attempt_sees_one_version_of_a_config_map() {
    let mut shop = shop();
    shop.gives("expressions/11.7-22", "configMap('x').a", 1).await;
    shop.cluster.config_maps.lock().unwrap().insert("x".to_owned(), data(&[("a", "2")]));
    shop.gives("expressions/11.7-22", "configMap('x').a", 1).await;
    shop.cache = LookupCache::new();
    shop.gives("expressions/11.7-22", "configMap('x').a", 2).await;
    assert_eq!(*shop.cluster.fetched.lock().unwrap(), ["configmap x", "configmap x"]);
}

#[tokio::test]
async fn metadata_of_freight_and_stages() {
    let mut shop = shop();
    for (id, expression, expected) in [
        ("expressions/11.7-24", "freightMetadata(\"x\").k", json!("kept")),
        ("expressions/11.7-24", "freightMetadata(\"missing\")", json!(null)),
        ("expressions/11.7-25", "freightMetadata(\"missing\")?.k", json!(null)),
        (
            "expressions/11.7-27",
            "freightStatus('x').approvedFor?.prod?.approvedAt != nil",
            json!(true),
        ),
        (
            "expressions/11.7-27",
            "freightStatus('x').approvedFor?.uat?.approvedAt != nil",
            json!(false),
        ),
        ("7", "freightStatus('bare')", json!({})),
        ("7", "freightMetadata('bare')", json!(null)),
        ("7", "freightStatus('missing')", json!(null)),
        ("7", "stageMetadata('prod').k", json!("v")),
        ("7", "stageMetadata('none')", json!(null)),
    ] {
        shop.gives(id, expression, expected).await;
    }
    for (id, expression, expected) in [
        ("expressions/11.7-25", "freightMetadata(\"missing\").k", "cannot fetch k from <nil>"),
        (
            "expressions/11.7-26",
            "freightMetadata(\"x\",\"k\")",
            "too many arguments to call freightMetadata",
        ),
        ("7", "freightMetadata('')", "freight ref name must not be empty"),
        ("7", "stageMetadata('')", "stage name must not be empty"),
    ] {
        shop.fails(id, expression, expected).await;
    }
}

#[tokio::test]
async fn origins() {
    let mut shop = shop();
    shop.fails("expressions/11.7-32", "warehouse(\"\")", "name must not be empty").await;
    shop.fails(
        "expressions/11.7-33",
        "warehouse(vars.missing)",
        "argument must be string, got <nil>",
    )
    .await;
    shop.gives("expressions/11.7-34", "string(warehouse(\"x\").Kind) == \"Warehouse\"", true).await;
}

#[tokio::test]
async fn versions() {
    let mut shop = shop();
    for (id, a, b, expected) in [
        ("expressions/11.8-1", "1.1.1", "2.2.2", "Major"),
        ("expressions/11.8-1", "1.1.1", "1.2.2", "Minor"),
        ("expressions/11.8-1", "1.1.1", "1.1.2", "Patch"),
        ("expressions/11.8-2", "1.1.1+build1", "1.1.1+build2", "Metadata"),
        ("expressions/11.8-3", "1.2.3", "1.2.3", "None"),
        ("expressions/11.8-3", "1.0.0-alpha", "1.0.0-beta", "None"),
        ("expressions/11.8-4", "1.0.0-alpha.1+b.1", "1.0.0-alpha.1+b.2", "Metadata"),
        ("expressions/11.8-5", "v1.0.0", "v2.0.0", "Major"),
        ("expressions/11.8-6", "invalid", "1.0.0", "Incomparable"),
        ("expressions/11.8-6", "", "", "Incomparable"),
    ] {
        shop.gives(id, &format!("semverDiff('{a}', '{b}')"), expected).await;
    }
    for (id, expression, expected) in [
        ("expressions/11.8-7", "semverParse('v1.2').String()", "1.2.0"),
        ("expressions/11.8-7", "semverParse('1')", "1.0.0"),
        ("expressions/11.8-7", "semverParse('1.2-beta')", "1.2.0-beta"),
        ("expressions/11.8-7", "semverParse('2024.01.05')", "2024.1.5"),
        ("expressions/11.8-8", "semverParse('1.2.3-rc.1').IncPatch()", "1.2.3"),
        ("expressions/11.8-8", "semverParse('1.2.3-rc.1').IncMinor()", "1.3.0"),
        ("expressions/11.8-8", "semverParse('1.2.3-rc.1').IncMajor()", "2.0.0"),
        ("expressions/11.8-9", "semverParse('v1.2.3-rc.1+b').Prerelease()", "rc.1"),
        ("expressions/11.8-9", "semverParse('v1.2.3-rc.1+b').Metadata()", "b"),
        ("7.3", "semverParse('v1.2.3').Original()", "v1.2.3"),
        ("7.3", "semverParse('1.2.3').SetPrerelease('rc.2').String()", "1.2.3-rc.2"),
    ] {
        shop.gives(id, expression, expected).await;
    }
    for text in ["x", "", "1.2.3.4", "V1.2.3", " 1.2.3"] {
        let expression = format!("semverParse('{text}')");
        shop.fails("expressions/11.8-10", &expression, "invalid semantic version").await;
    }
    let zero = "invalid semantic version: version segment starts with 0";
    shop.fails("expressions/11.8-11", "semverParse('1.2.3-01')", zero).await;
    shop.gives("expressions/11.8-12", "semverParse('1.2.3').Minor() + 1", 3).await;
    shop.gives("7.3", "semverParse('1.2.3-rc.1').LessThan(semverParse('1.2.3'))", true).await;
    shop.fails("7.3", "semverParse('1.2.3').IncMinor().Original()", "has no field Original").await;
    let found = shop.template("${{ semverParse(\"v1.2.3\") }}").await;
    assert_eq!(found.unwrap(), json!("1.2.3"), "expressions/11.1-55");
}

#[test]
fn the_page_shows_every_function() {
    const PAGE: &str = "../../docs/expressions.md";
    const BEGIN: &str =
        "<!-- functions: generated by `cargo test -p promotion functions`; do not edit -->\n";
    const END: &str = "<!-- end of functions -->\n";
    let mut env = Env::new();
    install(&mut env, &LookupCache::new(), FunctionContext::default());
    let mut expected = "\n| Call | What it gives |\n|---|---|\n".to_owned();
    for function in env.functions() {
        let doc = function.doc().expect("every function says what it does");
        expected += &format!("| `{}` | {doc} |\n", function.signature());
    }
    expected.push('\n');
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (head, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (found, tail) = rest.split_once(END).expect("the table has an end");
    if found != expected && std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, format!("{head}{BEGIN}{expected}{END}{tail}")).unwrap();
        return;
    }
    assert_eq!(found, expected, "run `UPDATE_DOCS=1 cargo test -p promotion functions`");
}
