//! Real kubectl, as a user plays with the program.

use std::path::Path;
use std::process::Command;

use e2e::examples::folder;
use e2e::{Pipeline, await_that};

/// Runs kubectl and returns what it printed.
fn kubectl(kubeconfig: &Path, args: &[&str]) -> String {
    let output = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(args)
        .output()
        .expect("kubectl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {args:?}: {error}{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_by_hand() {
    if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        println!("skipped: kubectl is not on this machine");
        return;
    }
    let mut pipeline = Pipeline::start().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag("zxc204fghasd/wsp-web-server-v2", "v1.0.0");
    let config = pipeline.world.kubeconfig();
    let run = |args: &'static [&'static str]| {
        let config = config.clone();
        async move { tokio::task::spawn_blocking(move || kubectl(&config, args)).await.expect("it ran") }
    };
    let file = |name: &str| folder().join("quickstart").join(name).display().to_string();
    let apply = |name: &str| {
        let (config, file) = (config.clone(), file(name));
        async move {
            tokio::task::spawn_blocking(move || kubectl(&config, &["apply", "-f", &file]))
                .await
                .expect("it ran")
        }
    };

    assert!(apply("project.yaml").await.contains("project.kargo.akuity.io/develop created"));
    pipeline.namespace("develop").await;
    for name in ["application.yaml", "promotion-task.yaml", "stage.yaml", "warehouse.yaml"] {
        assert!(apply(name).await.contains("created"), "{name}");
    }
    pipeline.promoted("develop", "frontend-dev-stage", "v1.0.0").await;
    await_that::object(pipeline.of::<api::Stage>("develop"), "a Ready Stage", |s| {
        s.status
            .iter()
            .flat_map(|s| &s.conditions)
            .any(|c| c.type_ == "Ready" && c.status == "True")
    })
    .await;

    let stages = run(&["-n", "develop", "get", "stages"]).await;
    assert!(stages.contains("CURRENT FREIGHT") && stages.contains("Healthy"), "{stages}");
    let wide = run(&["-n", "develop", "get", "promo", "-o", "wide"]).await;
    assert!(wide.contains("Succeeded"), "{wide}");
    let freight = run(&["-n", "develop", "get", "freights", "-o", "yaml"]).await;
    assert!(freight.contains("repoURL: docker.io/zxc204fghasd/wsp-web-server-v2"), "{freight}");
    let described = run(&["-n", "develop", "describe", "stage", "frontend-dev-stage"]).await;
    assert!(described.contains("Freight has been verified"), "{described}");
    let events = run(&["-n", "develop", "get", "events"]).await;
    assert!(events.contains("PromotionSucceeded"), "{events}");

    // A new tag, and the annotation that makes the Warehouse look.
    pipeline.push_tag("zxc204fghasd/wsp-web-server-v2", "v1.1.0");
    run(&[
        "-n",
        "develop",
        "annotate",
        "warehouse",
        "frontend-dev-image",
        "--overwrite",
        "kargo.akuity.io/refresh=now",
    ])
    .await;
    pipeline.promoted("develop", "frontend-dev-stage", "v1.1.0").await;
    run(&[
        "-n",
        "develop",
        "wait",
        "stage/frontend-dev-stage",
        "--for=condition=Ready",
        "--timeout=30s",
    ])
    .await;

    // Applying again changes nothing; server-side apply works too.
    assert!(apply("stage.yaml").await.contains("unchanged"));
    let dry = run(&["api-resources", "--api-group=kargo.akuity.io"]).await;
    assert!(dry.contains("promotiontasks") && dry.contains("promotask"), "{dry}");

    // What the schema does not allow is refused in words.
    let config = config.clone();
    let refused = tokio::task::spawn_blocking(move || {
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&config)
            .args(["-n", "develop", "patch", "stage", "frontend-dev-stage", "--type=merge"])
            .args(["-p", r#"{"spec":{"requestedFreight":[]}}"#])
            .output()
            .expect("kubectl runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    })
    .await
    .expect("it ran");
    assert!(refused.contains("spec.requestedFreight"), "{refused}");

    run(&["-n", "develop", "delete", "stage", "frontend-dev-stage", "--timeout=30s"]).await;
    run(&["delete", "project", "develop", "--timeout=30s"]).await;
    if !pipeline.world.cluster.collects() {
        println!("skipped: nothing here empties the deleted namespace");
        return;
    }
    run(&["wait", "namespace/develop", "--for=delete", "--timeout=60s"]).await;
    let left = run(&["get", "namespaces"]).await;
    assert!(!left.contains("develop"), "{left}");
}

/// What the README tells people to do first; again changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_definitions_by_hand() {
    if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        println!("skipped: kubectl is not on this machine");
        return;
    }
    let pipeline = Pipeline::without_controllers().await;
    let config = pipeline.world.kubeconfig();
    let definitions = folder().join("../crds").display().to_string();
    let files = std::fs::read_dir(&definitions).expect("crds/ is there").count();
    let apply = || {
        let (config, definitions) = (config.clone(), definitions.clone());
        tokio::task::spawn_blocking(move || kubectl(&config, &["apply", "-f", &definitions]))
    };
    let first = apply().await.expect("it ran");
    assert_eq!(first.lines().count(), files, "{first}");
    let again = apply().await.expect("it ran");
    assert!(again.lines().all(|line| line.ends_with("unchanged")), "{again}");
    let described = tokio::task::spawn_blocking(move || {
        let wait = ["wait", "crd", "--all", "--for=condition=Established", "--timeout=30s"];
        kubectl(&config, &wait);
        kubectl(&config, &["explain", "stages.spec.requestedFreight"])
    });
    let described = described.await.expect("it ran");
    assert!(described.contains("sources"), "{described}");
}
