//! What bad input gets: the quick start with one thing wrong. Each test asserts
//! the text that a user is shown, and that nothing was pushed or lost.

use std::path::{Path, PathBuf};

use api::{Promotion, PromotionPhase, Stage, Warehouse};
use e2e::controller_process::ControllerProcess;
use e2e::described::{self, says};
use e2e::examples::text;
use e2e::{Pipeline, await_that};
use sandbox::registry::{Access, NewImage, Registry, RegistryOptions};
use serde_json::Value;

const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";
const INSTANCE: &str = "develop/frontend/wsp-web-instance.yaml";
const STAGE: &str = "frontend-dev-stage";
const WAREHOUSE: &str = "frontend-dev-image";
const REPO: &str = "repo.git";

/// One thing that is wrong: a file of the quick start, its text, and what
/// stands there instead.
type Wrong<'a> = (&'a str, &'a str, &'a str);

const FILES: [&str; 5] =
    ["project.yaml", "application.yaml", "promotion-task.yaml", "stage.yaml", "warehouse.yaml"];

/// The quick start in a sandbox with a repository and one tag, this tag, and
/// the controllers.
async fn world(tag: &str) -> Pipeline {
    let mut pipeline = without_controllers(tag).await;
    pipeline.start_controllers(supercargo::wiring::steps());
    pipeline
}

async fn without_controllers(tag: &str) -> Pipeline {
    let pipeline = Pipeline::without_controllers().await;
    pipeline.repository(REPO, "quickstart/repository").await;
    pipeline.push_tag(IMAGE, tag);
    pipeline
}

/// Applies these files of the quick start with what is wrong in them.
async fn apply(pipeline: &Pipeline, files: &[&str], wrong: &[Wrong<'_>]) {
    for (file, from, _) in wrong {
        assert!(files.contains(file), "{file} is not applied");
        assert!(text(&format!("quickstart/{file}")).contains(from), "{file} has no {from:?}");
    }
    for file in files {
        let mut manifest = text(&format!("quickstart/{file}"));
        for (_, from, to) in wrong.iter().filter(|(wrong, ..)| wrong == file) {
            manifest = manifest.replace(from, to);
        }
        pipeline.apply(&manifest).await;
    }
}

/// The Promotion of the quick start that one wrong thing makes fail, and that
/// nothing was pushed.
async fn fails(pipeline: &Pipeline, tag: &str) -> Promotion {
    let promotion = pipeline.promoted("develop", STAGE, tag).await;
    let status = promotion.status.clone().unwrap_or_default();
    assert_ne!(status.phase, PromotionPhase::Succeeded, "{}", status.message);
    told_everywhere(pipeline, &promotion).await;
    untouched(pipeline).await;
    promotion
}

/// What a Promotion failed of is found at the Promotion, in its Events and at
/// the Stage.
async fn told_everywhere(pipeline: &Pipeline, promotion: &Promotion) {
    let name = promotion.metadata.name.clone().unwrap_or_default();
    let phase = promotion.status.clone().unwrap_or_default().phase;
    let event = described::event(pipeline, "develop", &name, &format!("Promotion{phase}")).await;
    says(&event, &[message(promotion)]);
    let reason = format!("LastPromotion{phase}");
    let ready = stage_says(pipeline, "Ready", &reason).await;
    says(&ready, &[message(promotion)]);
}

/// The repository is as it was, and the Freight is there.
async fn untouched(pipeline: &Pipeline) {
    assert_eq!(pipeline.commits(REPO).await.len(), 1, "something was pushed");
    let before = text(&format!("quickstart/repository/{INSTANCE}"));
    assert_eq!(pipeline.file(REPO, INSTANCE).await, before);
}

/// The message of a Promotion.
fn message(promotion: &Promotion) -> &str {
    promotion.status.as_ref().map_or("", |s| s.message.as_str())
}

/// A condition as `kubectl describe` shows it.
fn condition(conditions: &[api::Condition], type_: &str) -> String {
    let found = conditions.iter().filter(|c| c.type_ == type_);
    found.map(|c| format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message)).collect()
}

/// Waits until the Warehouse is unhealthy; what Healthy and Ready say.
async fn unhealthy(pipeline: &Pipeline) -> String {
    let warehouse =
        await_that::object(pipeline.of::<Warehouse>("develop"), "an unhealthy Warehouse", |w| {
            let status = w.status.clone().unwrap_or_default();
            condition(&status.conditions, "Healthy").starts_with("Healthy=False")
        })
        .await;
    let conditions = warehouse.status.unwrap_or_default().conditions;
    let ready = condition(&conditions, "Ready");
    let healthy = condition(&conditions, "Healthy");
    assert!(ready.starts_with("Ready=False"), "{ready}");
    // Both say why, so that it is found wherever one looks.
    let why = |said: &str| said.split_once(": ").map(|(_, why)| why.to_owned());
    let common: String = why(&healthy).unwrap_or_default();
    let tail = common.rsplit_once("failed: ").map_or(common.as_str(), |(_, tail)| tail);
    let tail = tail.strip_prefix("Unable to discover artifacts: ").unwrap_or(tail);
    assert!(ready.contains(tail), "Ready does not say it:\n{ready}\n{healthy}");
    healthy
}

/// Waits until a condition of the Stage has such a reason; its message.
async fn stage_says(pipeline: &Pipeline, type_: &str, reason: &str) -> String {
    let stage = await_that::object(
        pipeline.of::<Stage>("develop"),
        &format!("a Stage with {type_} for reason {reason}"),
        |s| {
            let status = s.status.clone().unwrap_or_default();
            status.conditions.iter().any(|c| c.type_ == type_ && c.reason == reason)
        },
    )
    .await;
    condition(&stage.status.unwrap_or_default().conditions, type_)
}

/// What was wrong is put right: the tag is promoted, with one commit.
async fn goes_on(pipeline: &Pipeline, tag: &str) {
    let promotion = pipeline.promoted("develop", STAGE, tag).await;
    let status = promotion.status.unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);
    assert_eq!(pipeline.commits(REPO).await.len(), 2);
    assert!(pipeline.file(REPO, INSTANCE).await.contains(tag));
}

/// No Promotion was made.
async fn no_promotion(pipeline: &Pipeline) {
    let promotions = pipeline.of::<Promotion>("develop").list(&Default::default()).await;
    assert!(promotions.expect("Promotions can be listed").items.is_empty());
}

// ---------------------------------------------------------------- expressions

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_exist() {
    let pipeline = world("v1.0.0").await;
    let right = "${{ quote(imageFrom(vars.imageRepo, warehouse(vars.warehouseName)).Tag) }}";
    apply(&pipeline, &FILES, &[("stage.yaml", right, "${{ image.tag }}")]).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    let said = message(&promotion);
    says(
        said,
        &[
            "\"update-image\"",
            "yaml-update",
            "updates[0].value",
            // The expression and a caret beneath the place.
            " image.tag \n",
            "^\n",
            "`image` is not defined",
            // What is in scope.
            "vars",
            "outputs",
            "ctx",
            // What was meant.
            "imageFrom(",
        ],
    );
    // The caret points into the expression.
    let lines: Vec<&str> = said.lines().collect();
    let at = lines.iter().position(|l| l.contains("image.tag")).unwrap_or_default();
    let caret = lines.get(at + 1).and_then(|l| l.find('^')).unwrap_or_default();
    assert!(caret >= 2 && caret < lines[at].len(), "{said}");
}

// ------------------------------------------------------------------ registries

#[tokio::test(flavor = "multi_thread")]
async fn an_image_repository_that_is_not_there() {
    let pipeline = world("v1.0.0").await;
    apply(&pipeline, &FILES, &[("warehouse.yaml", "server-v2", "server-v3")]).await;
    let said = unhealthy(&pipeline).await;
    says(&said, &["zxc204fghasd/wsp-web-server-v3", "docker.io", "404", "check that"]);
    no_promotion(&pipeline).await;
    untouched(&pipeline).await;
    // With the right repository all goes on at once.
    apply(&pipeline, &["warehouse.yaml"], &[]).await;
    goes_on(&pipeline, "v1.0.0").await;
}

/// The quick start against a registry that wants a token.
async fn behind_a_door() -> (Pipeline, Registry) {
    let mut pipeline = without_controllers("v1.0.0").await;
    let access = Access::Token {
        username: "robot".to_owned(),
        password: "open-sesame".to_owned(),
        anonymous_pull: false,
    };
    let options = RegistryOptions { access, ..RegistryOptions::default() };
    let registry = Registry::start(options).await.expect("the registry starts");
    for mirror in &mut pipeline.args.registry_mirrors {
        mirror.url = registry.url();
    }
    (pipeline, registry)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_repository_that_wants_a_credential() {
    let (mut pipeline, registry) = behind_a_door().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    apply(&pipeline, &FILES, &[]).await;
    let said = unhealthy(&pipeline).await;
    says(&said, &[IMAGE, "docker.io", "401", "kargo.akuity.io/cred-type: image"]);
    no_promotion(&pipeline).await;
    untouched(&pipeline).await;
    // With a Secret that is right all goes on.
    let image = NewImage::created(jiff::Timestamp::now());
    registry.push_tag(IMAGE, "v1.0.0", &image).expect("the tag is published");
    pipeline.apply(&secret("image", &format!("docker.io/{IMAGE}"), "open-sesame")).await;
    pipeline.refresh("develop", WAREHOUSE, "with a Secret").await;
    goes_on(&pipeline, "v1.0.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_repository_that_refuses_the_credential() {
    let (mut pipeline, _registry) = behind_a_door().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    apply(&pipeline, &["project.yaml"], &[]).await;
    pipeline.apply(&secret("image", &format!("docker.io/{IMAGE}"), "wrong-token")).await;
    apply(&pipeline, &FILES, &[]).await;
    let said = unhealthy(&pipeline).await;
    says(&said, &[IMAGE, "docker.io", "401", "credential", "develop/login"]);
    assert!(!said.contains("wrong-token"), "{said}");
    no_promotion(&pipeline).await;
    untouched(&pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_answer() {
    let mut pipeline = without_controllers("v1.0.0").await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed_at = closed.local_addr().expect("its address");
    drop(closed);
    for mirror in &mut pipeline.args.registry_mirrors {
        mirror.url = format!("http://{closed_at}");
    }
    pipeline.start_controllers(supercargo::wiring::steps());
    apply(&pipeline, &FILES, &[]).await;
    let said = unhealthy(&pipeline).await;
    says(&said, &[IMAGE, "docker.io", "mirror", "refused", "check that", "can reach it"]);
    no_promotion(&pipeline).await;
    untouched(&pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tag_that_is_a_semantic_version() {
    let pipeline = world("latest").await;
    for tag in ["main", "build-17", "v2", "1.4"] {
        pipeline.push_tag(IMAGE, tag);
    }
    apply(&pipeline, &FILES, &[]).await;
    let said = unhealthy(&pipeline).await;
    says(
        &said,
        &[
            IMAGE,
            "docker.io",
            "5 tags seen",
            "3 are no semantic version",
            "another imageSelectionStrategy",
            "2 are versions but not of the form X.Y.Z",
            "strictSemvers: false",
        ],
    );
    no_promotion(&pipeline).await;
    untouched(&pipeline).await;
}

// ----------------------------------------------------------------------- files

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_in_the_clone() {
    let pipeline = world("v1.0.0").await;
    let path = format!("value: {INSTANCE}");
    let wrong = "value: develop/frontend/wsp-web.yaml";
    apply(&pipeline, &FILES, &[("stage.yaml", &path, wrong)]).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    says(
        message(&promotion),
        &[
            "src/develop/frontend/wsp-web.yaml",
            "\"src/develop/frontend\" has",
            "wsp-web-instance.yaml",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_in_the_clone() {
    let pipeline = world("v1.0.0").await;
    let path = format!("value: {INSTANCE}");
    let wrong = "value: staging/../develop/backend/wsp-web-instance.yaml";
    apply(&pipeline, &FILES, &[("stage.yaml", &path, wrong)]).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    says(
        message(&promotion),
        &["src/develop/backend/wsp-web-instance.yaml", "\"src/develop\" has", "frontend/"],
    );
}

// ------------------------------------------------------------------------- git

/// A Secret with a login, named `login`.
fn secret(kind: &str, url: &str, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\n  namespace: develop\n  labels:\n    kargo.akuity.io/cred-type: {kind}\nstringData:\n  repoURL: {url}\n  username: robot\n  password: {token}\n"
    )
}

/// The quick start with a private repository.
async fn private(token: &str) -> Pipeline {
    let mut pipeline = without_controllers("v1.0.0").await;
    pipeline.args.allow_credentials_over_http = true;
    pipeline.world.git.set_auth(REPO, Some(("robot".to_owned(), token.to_owned())));
    pipeline
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_without_a_credential() {
    let mut pipeline = private("right").await;
    pipeline.start_controllers(supercargo::wiring::steps());
    apply(&pipeline, &FILES, &[]).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    says(
        message(&promotion),
        &[
            "authentication",
            "your.git",
            "https://your.git/repo.git",
            "kargo.akuity.io/cred-type: git",
        ],
    );
    // With a Secret, the next one goes on at once, though Secrets were just listed.
    pipeline.apply(&secret("git", "https://your.git/repo.git", "right")).await;
    let freight = promotion.spec.freight.clone().expect("it has Freight");
    let status = pipeline.promoted_by_hand("develop", STAGE, "again", &freight).await;
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_the_host_rejects() {
    let pipeline = world("v1.0.0").await;
    pipeline.world.git.traffic().reject_pushes(Some("no pushes to main on Fridays"));
    apply(&pipeline, &FILES, &[]).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    says(message(&promotion), &["your.git", "rejected", "main", "no pushes to main on Fridays"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_without_a_credential() {
    // Anybody may read it; who pushes must log in.
    let pipeline = world("v1.0.0").await;
    pipeline.world.git.traffic().fail_next(100, 401, Some(sandbox::git_host::GitService::Push));
    apply(&pipeline, &FILES, &[]).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    says(
        message(&promotion),
        &["pushing", "authentication", "your.git", "kargo.akuity.io/cred-type: git"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_credential_is_refused() {
    let mut pipeline = private("right").await;
    pipeline.start_controllers(supercargo::wiring::steps());
    let push = Some(sandbox::git_host::GitService::Push);
    pipeline.world.git.traffic().fail_next(100, 403, push);
    apply(&pipeline, &["project.yaml"], &[]).await;
    pipeline.apply(&secret("git", "https://your.git/repo.git", "right")).await;
    apply(&pipeline, &FILES, &[]).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    says(message(&promotion), &["pushing", "authentication", "your.git", "Secret develop/login"]);
    assert!(!message(&promotion).contains("right"), "{}", message(&promotion));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_does_not_exist() {
    let pipeline = world("v1.0.0").await;
    apply(&pipeline, &FILES, &[("stage.yaml", "branch: main", "branch: release")]).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    says(message(&promotion), &["release", "https://your.git/repo.git", "does not exist", "main"]);
    let names = pipeline.world.git.references(REPO).await.expect("the repository is there");
    assert!(names.iter().all(|(name, _)| !name.contains("release")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_races_with_another_writer() {
    let pipeline = world("v1.0.0").await;
    let git = std::sync::Arc::clone(&pipeline.world.git);
    pipeline.world.git.traffic().before_next_push(move || async move {
        git.commit_file(REPO, "main", "OTHER.md", "somebody else\n", "Add another file")
            .await
            .expect("the other writer may");
    });
    apply(&pipeline, &FILES, &[]).await;
    let promotion = pipeline.promoted("develop", STAGE, "v1.0.0").await;
    let status = promotion.status.clone().unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);
    // Both are there, ours on top.
    let commits = pipeline.commits(REPO).await;
    assert_eq!(commits.len(), 3, "{commits:#?}");
    assert!(commits[1].message.contains("Add another file"), "{commits:#?}");
    assert_eq!(pipeline.file(REPO, "OTHER.md").await, "somebody else\n");
    assert!(pipeline.file(REPO, INSTANCE).await.contains("v1.0.0"));
    // The commit was rebased; Argo CD is asked for the one that was pushed.
    let state = serde_json::to_value(&status.state).unwrap_or(Value::Null);
    let of = |path: &str| state.pointer(path).and_then(Value::as_str).map(str::to_owned);
    assert_ne!(of("/commit/commit"), of("/step-5/commit"));
    assert_eq!(of("/step-5/commit").as_ref(), Some(&commits[0].id));
    assert_eq!(of("/step-5/replaced"), of("/commit/commit"));
    let application = pipeline.application("wsp-web").await;
    let synced = application.data.pointer("/status/sync/revision").and_then(Value::as_str);
    assert_eq!(synced, Some(commits[0].id.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_the_file_has_already() {
    let pipeline = world("v0.9.0").await;
    apply(&pipeline, &FILES, &[]).await;
    let promotion = pipeline.promoted("develop", STAGE, "v0.9.0").await;
    let status = promotion.status.clone().unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);
    untouched(&pipeline).await;
    let step = |alias: &str| {
        let found = status.step_execution_metadata.iter().find(|e| e.alias == alias);
        found.map(|e| e.status.to_string()).unwrap_or_default()
    };
    assert_eq!(step("commit"), "Skipped");
    // Its output is the commit that is there.
    let state = serde_json::to_value(&status.state).unwrap_or(Value::Null);
    let head = pipeline.commits(REPO).await[0].id.clone();
    assert_eq!(state.pointer("/commit/commit").and_then(Value::as_str), Some(head.as_str()));
}

// --------------------------------------------------------------------- Argo CD

#[tokio::test(flavor = "multi_thread")]
async fn an_application_without_an_authorized_stage() {
    let pipeline = world("v1.0.0").await;
    let line = "  annotations:\n    kargo.akuity.io/authorized-stage: develop:frontend-dev-stage\n";
    apply(&pipeline, &FILES, &[("application.yaml", line, "")]).await;
    unauthorized(&pipeline, "develop:frontend-dev-stage").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_with_another_authorized_stage() {
    let pipeline = world("v1.0.0").await;
    let wrong = [("application.yaml", "develop:frontend-dev-stage", "develop:frontend-prod-stage")];
    apply(&pipeline, &FILES, &wrong).await;
    let value = "develop:frontend-prod-stage,develop:frontend-dev-stage";
    let said = unauthorized(&pipeline, value).await;
    says(&said, &["it names only \"develop:frontend-prod-stage\""]);
}

/// The Promotion fails at the Application and says which annotation is needed;
/// with it, the next Promotion succeeds and nothing is lost.
async fn unauthorized(pipeline: &Pipeline, value: &str) -> String {
    let promotion = pipeline.promoted("develop", STAGE, "v1.0.0").await;
    let status = promotion.status.clone().unwrap_or_default();
    assert_ne!(status.phase, PromotionPhase::Succeeded);
    let command = format!(
        "kubectl annotate application wsp-web -n argocd --overwrite kargo.akuity.io/authorized-stage='{value}'"
    );
    says(
        &status.message,
        &["wsp-web", &format!("kargo.akuity.io/authorized-stage: {value:?}"), &command],
    );
    // The commit was right and stays; the Application was not touched.
    assert_eq!(pipeline.commits(REPO).await.len(), 2);
    let application = pipeline.application("wsp-web").await;
    assert_eq!(application.data.get("operation"), None, "{:#}", application.data);
    assert_eq!(application.data.pointer("/status/operationState"), None);
    told_everywhere(pipeline, &promotion).await;
    // With that annotation, pasted as it was given, the next one succeeds.
    let right = format!("kargo.akuity.io/authorized-stage: {value}");
    let manifest = text("quickstart/application.yaml");
    let written = "kargo.akuity.io/authorized-stage: develop:frontend-dev-stage";
    assert!(manifest.contains(written));
    pipeline.apply(&manifest.replace(written, &right)).await;
    pipeline.push_tag(IMAGE, "v1.1.0");
    pipeline.refresh("develop", WAREHOUSE, "annotated").await;
    let next = pipeline.promoted("develop", STAGE, "v1.1.0").await;
    let next = next.status.unwrap_or_default();
    assert_eq!(next.phase, PromotionPhase::Succeeded, "{}", next.message);
    assert_eq!(pipeline.commits(REPO).await.len(), 3);
    status.message
}

// ------------------------------------------------------------ tasks and policy

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_does_not_exist() {
    let pipeline = world("v1.0.0").await;
    let files = ["project.yaml", "application.yaml", "promotion-task.yaml", "warehouse.yaml"];
    apply(&pipeline, &files, &[]).await;
    let stage = text("quickstart/with-task/stage.yaml");
    let wrong = stage.replace("name: promote-image", "name: promote-kro-instance");
    assert_ne!(stage, wrong);
    pipeline.apply(&wrong).await;
    // The Stage may be looked at before the task that there is has been seen; it
    // is looked at again then.
    let stage = await_that::object(pipeline.of::<Stage>("develop"), "a Stage that says so", |s| {
        let status = s.status.clone().unwrap_or_default();
        status.conditions.iter().any(|c| {
            ["\"promote-kro-instance\"", "\"promote-image\""].iter().all(|n| c.message.contains(n))
        })
    })
    .await;
    let conditions = stage.status.unwrap_or_default().conditions;
    let said: String = conditions.iter().map(|c| format!("{} {}\n", c.type_, c.message)).collect();
    says(&said, &["\"promote-kro-instance\"", "does not exist", "\"promote-image\""]);
    untouched(&pipeline).await;
    // With the right name all goes on.
    pipeline.apply(&text("quickstart/with-task/stage.yaml")).await;
    goes_on(&pipeline, "v1.0.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_project() {
    let pipeline = world("v1.0.0").await;
    // Where RBAC rules, a namespace's Secrets are opened with its Project: without
    // one, the Warehouse does not come so far.
    if !pipeline.backend().is_sandbox_for("no_project") {
        return;
    }
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: develop, labels: {kargo.akuity.io/project: 'true'}}}";
    pipeline.apply(namespace).await;
    let files = ["application.yaml", "promotion-task.yaml", "stage.yaml", "warehouse.yaml"];
    apply(&pipeline, &files, &[]).await;
    let said = stage_says(&pipeline, "FreightWaiting", "NoProject").await;
    says(&said, &["waits", "there is no Project", "create a Project named \"develop\""]);
    no_promotion(&pipeline).await;
    untouched(&pipeline).await;
    // With the Project, what waited is promoted.
    pipeline.apply(&text("quickstart/project.yaml")).await;
    goes_on(&pipeline, "v1.0.0").await;
}

/// A namespace made beforehand, as `kubectl create namespace develop` does.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_no_projects() {
    let pipeline = world("v1.0.0").await;
    pipeline.apply("{apiVersion: v1, kind: Namespace, metadata: {name: develop}}").await;
    apply(&pipeline, &FILES, &[]).await;
    let project: kube::Api<api::Project> = kube::Api::all(pipeline.client());
    let project = await_that::object(project, "a Project that is not Ready", |p| {
        let status = p.status.clone().unwrap_or_default();
        status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "False")
    })
    .await;
    let said = condition(&project.status.unwrap_or_default().conditions, "Ready");
    let command = "kubectl label namespace develop --overwrite kargo.akuity.io/project=true";
    says(&said, &["namespace already exists and is not labeled", command]);
    // With that label, pasted as it was given, it is the Project's.
    pipeline
        .apply("{apiVersion: v1, kind: Namespace, metadata: {name: develop, labels: {kargo.akuity.io/project: 'true'}}}")
        .await;
    let project: kube::Api<api::Project> = kube::Api::all(pipeline.client());
    await_that::object(project, "a Project that is Ready", |p| {
        let status = p.status.clone().unwrap_or_default();
        status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
    })
    .await;
    goes_on(&pipeline, "v1.0.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_auto_promotion_policy() {
    let pipeline = world("v1.0.0").await;
    let policies = "spec:\n  promotionPolicies:\n  - stage: frontend-dev-stage\n    autoPromotionEnabled: true\n";
    apply(&pipeline, &FILES, &[("project.yaml", policies, "")]).await;
    let said = stage_says(&pipeline, "FreightWaiting", "NoPolicy").await;
    says(
        &said,
        &[
            "waits",
            "auto-promotion is not enabled for Stage \"frontend-dev-stage\"",
            "Create a Promotion",
            "autoPromotionEnabled: true",
            "ProjectConfig \"develop\"",
        ],
    );
    no_promotion(&pipeline).await;
    untouched(&pipeline).await;
    // With the policy, what waited is promoted.
    pipeline.apply(&text("quickstart/project.yaml")).await;
    goes_on(&pipeline, "v1.0.0").await;
}

// --------------------------------------------------------------------- canaries

/// What must not be found anywhere.
const CANARY: &str = "c4n4ry-7f3e9a51b2";
/// The same as it is sent, in base64 after `robot:`.
const SENT: &str = "cm9ib3Q6YzRuNHJ5LTdmM2U5YTUxYjI";

/// The token is in no object but Secrets, in no log line and in no metric.
/// `written` are the kinds in whose spec the user put it.
async fn is_nowhere(pipeline: &Pipeline, process: &ControllerProcess, written: &[&str]) {
    let objects = described::all_objects(pipeline).await;
    for kind in ["Stage", "Promotion", "Event", "Warehouse", "Namespace", "Application"] {
        assert!(objects.iter().any(|o| o["kind"] == kind), "no {kind} was looked at");
    }
    for mut object in objects {
        if written.iter().any(|kind| object["kind"] == *kind) {
            object["spec"] = Value::Null;
        }
        let text = format!("{object:#}");
        assert!(!tells(&text), "{text}");
    }
    let log = process.log();
    assert!(log.contains("TRACE"), "the log does not tell everything:\n{log}");
    let lines: Vec<&str> = log.lines().filter(|l| tells(l)).collect();
    assert!(lines.is_empty(), "the log tells it:\n{}", lines.join("\n"));
    if written.is_empty() {
        let files = files_with_the_token(&pipeline.world.dir.join("process"));
        assert!(files.is_empty(), "on disk: {files:?}");
    }
    let metrics = process.metrics().await;
    assert!(metrics.contains("# EOF") && !tells(&metrics), "{metrics}");
}

/// The controllers' files that have the token in them.
fn files_with_the_token(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(files_with_the_token(&path));
        } else if std::fs::read(&path).is_ok_and(|b| tells(&String::from_utf8_lossy(&b))) {
            found.push(path);
        }
    }
    found
}

/// Whether a text has the token in it.
fn tells(text: &str) -> bool {
    text.contains(CANARY) || text.contains(SENT)
}

/// The controllers in a process that logs everything.
fn process(pipeline: &Pipeline) -> ControllerProcess {
    let binary = env!("CARGO_BIN_EXE_controller-under-test");
    // Named in a filter, also the clients' traces are told, which are quieter
    // where a level alone is given.
    ControllerProcess::start_logging(binary, pipeline, "trace,hyper_util=trace")
}

/// The quick start, its repository cloned from this URL.
async fn apply_with_clone_url(pipeline: &Pipeline, url: &str) {
    let from = "          repoURL: ${{ vars.gitopsRepo }}\n          checkout:";
    let to = format!("          repoURL: {url}\n          checkout:");
    apply(pipeline, &FILES, &[("stage.yaml", from, &to)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_in_a_secret_is_told_nowhere() {
    let pipeline = private("the-right-one").await;
    let process = process(&pipeline);
    apply(&pipeline, &["project.yaml"], &[]).await;
    pipeline.apply(&secret("git", "https://your.git/repo.git", CANARY)).await;
    apply(&pipeline, &FILES, &[]).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    says(message(&promotion), &["authentication", "your.git", "develop/login"]);
    is_nowhere(&pipeline, &process, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_token_in_a_secret_is_told_nowhere() {
    let pipeline = private(CANARY).await;
    let process = process(&pipeline);
    apply(&pipeline, &["project.yaml"], &[]).await;
    pipeline.apply(&secret("git", "https://your.git/repo.git", CANARY)).await;
    apply(&pipeline, &FILES, &[]).await;
    let promotion = pipeline.promoted("develop", STAGE, "v1.0.0").await;
    let status = promotion.status.clone().unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);
    assert_eq!(pipeline.commits(REPO).await.len(), 2);
    is_nowhere(&pipeline, &process, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_in_the_url_is_told_nowhere() {
    let pipeline = private("the-right-one").await;
    let process = process(&pipeline);
    let url = format!("https://robot:{CANARY}@your.git/repo.git");
    apply_with_clone_url(&pipeline, &url).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    says(message(&promotion), &["authentication", "your.git", "the URL"]);
    is_nowhere(&pipeline, &process, &["Stage", "Promotion"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_token_in_the_url_is_told_nowhere() {
    let pipeline = private(CANARY).await;
    let process = process(&pipeline);
    let url = format!("https://robot:{CANARY}@your.git/repo.git");
    apply_with_clone_url(&pipeline, &url).await;
    let promotion = pipeline.promoted("develop", STAGE, "v1.0.0").await;
    let status = promotion.status.clone().unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{}", status.message);
    assert_eq!(pipeline.commits(REPO).await.len(), 2);
    is_nowhere(&pipeline, &process, &["Stage", "Promotion"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_for_a_registry_is_told_nowhere() {
    let (pipeline, _registry) = behind_a_door().await;
    let process = process(&pipeline);
    apply(&pipeline, &["project.yaml"], &[]).await;
    pipeline.apply(&secret("image", &format!("docker.io/{IMAGE}"), CANARY)).await;
    apply(&pipeline, &FILES, &[]).await;
    let said = unhealthy(&pipeline).await;
    says(&said, &["docker.io", "401", "develop/login"]);
    let objects = described::all_objects(&pipeline).await;
    assert!(objects.iter().all(|o| !tells(&o.to_string())));
    let log = process.log();
    assert!(log.contains("TRACE") && !tells(&log), "{log}");
    assert!(!tells(&process.metrics().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_host_repeats_is_told_nowhere() {
    let pipeline = private(CANARY).await;
    let process = process(&pipeline);
    let echo = format!("{CANARY} may not push ({SENT})");
    pipeline.world.git.traffic().reject_pushes(Some(&echo));
    apply(&pipeline, &["project.yaml"], &[]).await;
    pipeline.apply(&secret("git", "https://your.git/repo.git", CANARY)).await;
    apply(&pipeline, &FILES, &[]).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    says(message(&promotion), &["your.git", "rejected", "may not push"]);
    is_nowhere(&pipeline, &process, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_expression_is_told_nowhere() {
    let pipeline = private("the-right-one").await;
    let process = process(&pipeline);
    apply(&pipeline, &["project.yaml"], &[]).await;
    pipeline.apply(&secret("generic", "none", CANARY)).await;
    let url = "https://robot:${{ secret('login').password }}@your.git/repo.git";
    apply_with_clone_url(&pipeline, url).await;
    let promotion = fails(&pipeline, "v1.0.0").await;
    says(message(&promotion), &["authentication", "your.git", "the URL"]);
    is_nowhere(&pipeline, &process, &[]).await;
}
