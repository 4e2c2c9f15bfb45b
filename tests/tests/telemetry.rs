//! The metrics that the dashboard asks for and the documentation names are
//! there; traces reach a collector, with the ids that log lines have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use e2e::controller_process::ControllerProcess;
use e2e::examples::text;
use e2e::{Pipeline, await_that};

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");
const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";

/// The words that begin with `supercargo_` and are names of metrics.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names = words.filter(|w| w.starts_with("supercargo_") && w.len() > 12);
    names.map(|name| family(name).to_owned()).collect()
}

/// A metric's name without what its kind of series adds.
fn family(name: &str) -> &str {
    ["_total", "_bucket", "_sum", "_count"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(name)
}

fn file(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_promotion() {
    let pipeline = Pipeline::without_controllers().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag(IMAGE, "v1.0.0");
    let process = ControllerProcess::start_logging(BINARY, &pipeline, "info");
    for manifest in ["project", "application", "promotion-task", "stage", "warehouse"] {
        pipeline.apply(&text(&format!("quickstart/{manifest}.yaml"))).await;
    }
    pipeline.promoted("develop", "frontend-dev-stage", "v1.0.0").await;
    // The process counts the end after it has written it.
    let ended = r#"supercargo_promotions_total{phase="Succeeded"} 1"#;
    let metrics = await_that::answer("a Promotion that is counted", || async {
        Some(process.metrics().await).filter(|text| text.contains(ended))
    })
    .await;
    let count = |start: &str| {
        let line = metrics.lines().find(|line| line.starts_with(start));
        line.and_then(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok())
            .unwrap_or_else(|| panic!("no {start} in {metrics}"))
    };
    for kind in ["git-clone", "yaml-update", "git-commit", "git-push", "argocd-update"] {
        let start =
            format!(r#"supercargo_step_seconds_count{{kind="{kind}",outcome="Succeeded"}}"#);
        assert_eq!(count(&start), 1.0, "{kind}");
    }
    for start in [
        r#"supercargo_remote_requests_total{system="git",host="127.0.0.1",outcome="2xx"}"#,
        r#"supercargo_remote_requests_total{system="registry",host="127.0.0.1",outcome="2xx"}"#,
        r#"supercargo_api_writes_total{kind="Promotion/status"}"#,
        r#"supercargo_discovery_seconds_count{kind="image"}"#,
    ] {
        assert!(count(start) >= 1.0, "{start}");
    }

    let exposed: BTreeSet<String> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    // A series exists from its first count on.
    let rare = BTreeSet::from(["supercargo_watch_restarts".to_owned()]);
    let documented = names(&file("docs/installation.md"));
    let undocumented: Vec<_> = exposed.difference(&documented).collect();
    assert!(undocumented.is_empty(), "not in docs/installation.md: {undocumented:?}");
    let absent: Vec<_> = documented.difference(&exposed).filter(|n| !rare.contains(*n)).collect();
    assert!(absent.is_empty(), "named in docs/installation.md, but not there: {absent:?}");
    let asked = names(&file("charts/supercargo/files/dashboard.json"));
    let unknown: Vec<_> = asked.difference(&documented).collect();
    assert!(asked.len() > 10 && unknown.is_empty(), "asked for by the dashboard: {unknown:?}");
}

/// Takes what is sent to `/v1/traces`; its address, and the spans so far.
async fn collector() -> (String, Arc<Mutex<Vec<Span>>>) {
    let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
    let taken = Arc::clone(&spans);
    let take = move |body: Bytes| {
        let taken = Arc::clone(&taken);
        async move {
            let request = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
            let scopes = request.resource_spans.into_iter().flat_map(|r| r.scope_spans);
            taken.lock().expect("the spans").extend(scopes.flat_map(|s| s.spans));
            ([(header::CONTENT_TYPE, "application/x-protobuf")], Vec::<u8>::new())
        }
    };
    let router = Router::new().route("/v1/traces", post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("an address");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), spans)
}

fn attribute(span: &Span, key: &str) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = span.attributes.iter().find(|a| a.key == key).and_then(|a| a.value.clone());
    match value.and_then(|v| v.value) {
        Some(Value::StringValue(text)) => text,
        _ => String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_and_log_lines_of_a_pass_have_one_id() {
    let pipeline = Pipeline::without_controllers().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag(IMAGE, "v1.0.0");
    let (address, spans) = collector().await;
    let process = ControllerProcess::start_tracing(BINARY, &pipeline, &address);
    for manifest in ["project", "application", "promotion-task", "stage", "warehouse"] {
        pipeline.apply(&text(&format!("quickstart/{manifest}.yaml"))).await;
    }
    pipeline.promoted("develop", "frontend-dev-stage", "v1.0.0").await;
    let log = process.log_path();
    assert!(process.terminate().await, "the process ends well");

    let spans = spans.lock().expect("the spans").clone();
    let steps: BTreeMap<String, &Span> = spans
        .iter()
        .filter(|span| span.name == "step")
        .map(|span| (attribute(span, "kind"), span))
        .collect();
    for kind in ["git-clone", "yaml-update", "git-commit", "git-push", "argocd-update"] {
        assert!(steps.contains_key(kind), "{kind} is not in {:?}", steps.keys());
    }
    let push = steps["git-push"];
    let pass = spans
        .iter()
        .find(|span| span.span_id == push.parent_span_id)
        .expect("the pass that the step ran in");
    assert_eq!((pass.name.as_str(), pass.trace_id.clone()), ("pass", push.trace_id.clone()));
    assert_eq!(attribute(pass, "controller"), "promotion");
    assert!(attribute(pass, "object").starts_with("develop/"), "{pass:?}");
    // Each trace has the id that it says it has, which is that of its log lines.
    let roots = spans.iter().filter(|span| span.name == "pass");
    for root in roots {
        assert_eq!(hex::encode(&root.trace_id), attribute(root, "trace_id"));
    }
    let log = std::fs::read_to_string(log).expect("the log");
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let of_a_pass: Vec<_> = lines
        .iter()
        .filter_map(|line| line["spans"].as_array()?.iter().find(|s| s["name"] == "pass"))
        .collect();
    assert!(!of_a_pass.is_empty(), "no line of a pass in {log}");
    for span in of_a_pass {
        let id = span["trace_id"].as_str().unwrap_or_default();
        assert!(span["object"].is_string() && id.len() == 32, "{span}");
        assert!(spans.iter().any(|s| hex::encode(&s.trace_id) == id), "no trace {id}");
    }
}
