//! Promotions through pull requests at a real Gitea: waited for, merged by
//! each method, merged and closed by somebody else, refused.

use api::PromotionPhase;
use e2e::controller_process::{ControllerProcess, Death};
use e2e::reviewed::{self, FILE, FILES, Then};
use peers::Repository;
use reqwest::Method;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_waits_until_somebody_merges() {
    let Some(gitea) = reviewed::gitea("waiting for a pull request at Gitea") else { return };
    let repository = Repository::create(gitea, &FILES).await;
    let mut pipeline = reviewed::pipeline().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    reviewed::apply(&pipeline, &repository.url(), gitea.admin(), &Then::Wait).await;
    let number = reviewed::opened(&pipeline).await;
    let waiting = "waiting since 20";
    let promotion = reviewed::saying(&pipeline, "a Promotion that waits", waiting).await;
    let pull = repository.get(&format!("pulls/{number}")).await;
    assert_eq!(pull["title"], "Promote 1.0.0 to prod");
    assert_eq!(pull["base"]["ref"], "main");
    let branch = format!("kargo/promotion/{}", promotion.metadata.name.unwrap_or_default());
    assert_eq!(pull["head"]["ref"], json!(branch));
    assert_eq!(repository.commits("main").await.len(), 1, "nothing is merged yet");
    // As a reviewer does who is used to one commit a change, and to tidiness.
    let how = json!({"Do": "squash", "delete_branch_after_merge": true});
    repository.merge(number, &how).await;
    let (phase, message, output) = reviewed::ended(&pipeline, "prod").await;
    assert_eq!(phase, PromotionPhase::Succeeded, "{message}");
    assert_eq!(output["pr"]["merged"], true, "{output}");
    reviewed::merged_once(&repository, &output).await;
    assert_eq!(repository.commits("main").await.len(), 2, "one squashed commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_merges() {
    let Some(gitea) = reviewed::gitea("merging at Gitea") else { return };
    let mut pipeline = reviewed::pipeline().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    pipeline.push_tag(reviewed::IMAGE, "1.0.0");
    pipeline.apply(&reviewed::project()).await;
    let mut merged = Vec::new();
    for method in ["merge", "squash", "rebase", "rebase-merge", "fast-forward-only"] {
        let repository = Repository::create(gitea, &FILES).await;
        pipeline.apply(&reviewed::secret(method, &repository.url(), gitea.admin())).await;
        merged.push((method, repository));
    }
    for (method, repository) in &merged {
        // Gitea looks for conflicts by and by, so there is something to wait for.
        let then = Then::Merge { method, wait: true };
        pipeline.apply(&reviewed::stage(method, &repository.url(), &then)).await;
    }
    for (method, repository) in merged {
        let (phase, message, output) = reviewed::ended(&pipeline, method).await;
        assert_eq!(phase, PromotionPhase::Succeeded, "{method}: {message}");
        reviewed::merged_once(&repository, &output).await;
        let commits = repository.commits("main").await;
        assert_eq!(json!(commits[0]), output["commit"], "{method}: {commits:?}");
        let expected = if matches!(method, "merge" | "rebase-merge") { 3 } else { 2 };
        assert_eq!(commits.len(), expected, "{method}: {commits:?}");
    }
}

/// Gitea has not looked for conflicts yet when the pull request is a moment
/// old; who does not wait must not fail for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_merged_at_once_without_waiting() {
    let Some(gitea) = reviewed::gitea("merging at once at Gitea") else { return };
    let repository = Repository::create(gitea, &FILES).await;
    let mut pipeline = reviewed::pipeline().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    let then = Then::Merge { method: "merge", wait: false };
    reviewed::apply(&pipeline, &repository.url(), gitea.admin(), &then).await;
    let (phase, message, output) = reviewed::ended(&pipeline, "prod").await;
    assert_eq!(phase, PromotionPhase::Succeeded, "{message}");
    reviewed::merged_once(&repository, &output).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_fails_once_somebody_closes() {
    let Some(gitea) = reviewed::gitea("closing a pull request at Gitea") else { return };
    for (then, expected) in [
        (Then::Wait, "was closed without being merged"),
        (Then::Merge { method: "merge", wait: true }, "is closed but not merged"),
    ] {
        let repository = Repository::create(gitea, &FILES).await;
        repository.protect(&json!({"required_approvals": 1})).await;
        let mut pipeline = reviewed::pipeline().await;
        pipeline.start_controllers(supercargo::wiring::steps());
        reviewed::apply(&pipeline, &repository.url(), gitea.admin(), &then).await;
        let number = reviewed::opened(&pipeline).await;
        reviewed::saying(&pipeline, "a Promotion that waits", "waiting since 20").await;
        repository.close(number).await;
        let (phase, message, _) = reviewed::ended(&pipeline, "prod").await;
        assert_eq!(phase, PromotionPhase::Failed, "{message}");
        assert!(message.contains(expected), "{message}");
        assert_eq!(repository.pulls().await.len(), 1);
        assert_eq!(repository.commits("main").await.len(), 1);
    }
}

/// A rule that asks for an approval is something to wait for; who does not
/// wait is told what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_protected_branch_refuses_until_it_is_approved() {
    let Some(gitea) = reviewed::gitea("a protected branch at Gitea") else { return };
    for wait in [true, false] {
        let repository = Repository::create(gitea, &FILES).await;
        repository.protect(&json!({"required_approvals": 1})).await;
        let mut pipeline = reviewed::pipeline().await;
        pipeline.start_controllers(supercargo::wiring::steps());
        let then = Then::Merge { method: "merge", wait };
        reviewed::apply(&pipeline, &repository.url(), gitea.admin(), &then).await;
        let number = reviewed::opened(&pipeline).await;
        if !wait {
            let (phase, message, _) = reviewed::ended(&pipeline, "prod").await;
            assert_eq!(phase, PromotionPhase::Failed, "{message}");
            assert!(message.contains("approvals"), "{message}");
            assert_eq!(repository.commits("main").await.len(), 1);
            continue;
        }
        reviewed::saying(&pipeline, "a Promotion that is told what is missing", "approvals").await;
        let reviewer = gitea.user("reviewer").await;
        let access = json!({"permission": "write"});
        repository.done(Method::PUT, &format!("collaborators/{reviewer}"), &access).await;
        let token = gitea.token(&reviewer, &["all"]).await;
        let review = json!({"event": "APPROVED", "body": "well done"});
        let path = format!("pulls/{number}/reviews");
        let approved = repository.ask(&token, Method::POST, &path, &review).await;
        assert!(approved.status.is_success(), "{approved:?}");
        let (phase, message, output) = reviewed::ended(&pipeline, "prod").await;
        assert_eq!(phase, PromotionPhase::Succeeded, "{message}");
        reviewed::merged_once(&repository, &output).await;
    }
}

/// While the step waits for an approval, an administrator merges past the rule.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_by_somebody_else_is_taken_over() {
    let Some(gitea) = reviewed::gitea("a merge by somebody else at Gitea") else { return };
    let repository = Repository::create(gitea, &FILES).await;
    repository.protect(&json!({"required_approvals": 1})).await;
    let mut pipeline = reviewed::pipeline().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    let then = Then::Merge { method: "merge", wait: true };
    reviewed::apply(&pipeline, &repository.url(), gitea.admin(), &then).await;
    let number = reviewed::opened(&pipeline).await;
    reviewed::saying(&pipeline, "a Promotion that waits", "approvals").await;
    let how = json!({"Do": "squash", "force_merge": true, "delete_branch_after_merge": true});
    repository.merge(number, &how).await;
    let (phase, message, output) = reviewed::ended(&pipeline, "prod").await;
    assert_eq!(phase, PromotionPhase::Succeeded, "{message}");
    reviewed::merged_once(&repository, &output).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_moves_is_no_hindrance_and_a_conflict_is() {
    let Some(gitea) = reviewed::gitea("a base that moves at Gitea") else { return };
    for (change, conflicts) in
        [(("README.md", "other words\n"), false), ((FILE, "image: {}\n"), true)]
    {
        let repository = Repository::create(gitea, &FILES).await;
        repository.protect(&json!({"required_approvals": 1, "enable_push": true})).await;
        let mut pipeline = reviewed::pipeline().await;
        pipeline.start_controllers(supercargo::wiring::steps());
        let then = Then::Merge { method: "merge", wait: true };
        reviewed::apply(&pipeline, &repository.url(), gitea.admin(), &then).await;
        let number = reviewed::opened(&pipeline).await;
        reviewed::saying(&pipeline, "a Promotion that waits", "approvals").await;
        repository.write("main", &[change]).await;
        if conflicts {
            reviewed::saying(&pipeline, "a Promotion that tells of conflicts", "conflicts").await;
            let merged = repository.get(&format!("pulls/{number}")).await["merged"].clone();
            assert_eq!(merged, false);
            repository.close(number).await;
            let (phase, message, _) = reviewed::ended(&pipeline, "prod").await;
            assert_eq!(phase, PromotionPhase::Failed, "{message}");
            assert_eq!(repository.file("main", FILE).await, "image: {}\n");
        } else {
            repository.done(Method::DELETE, "branch_protections/main", &Value::Null).await;
            let (phase, message, output) = reviewed::ended(&pipeline, "prod").await;
            assert_eq!(phase, PromotionPhase::Succeeded, "{message}");
            reviewed::merged_once(&repository, &output).await;
            assert_eq!(repository.file("main", "README.md").await, "other words\n");
        }
        assert_eq!(repository.pulls().await.len(), 1);
    }
}

/// The address that the manifests name is that of before the repository got
/// another name: Gitea redirects Git and the API.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_repository_is_followed() {
    let Some(gitea) = reviewed::gitea("a renamed repository at Gitea") else { return };
    let repository = Repository::create(gitea, &FILES).await;
    let renamed = repository.renamed().await;
    let mut pipeline = reviewed::pipeline().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    let then = Then::Merge { method: "merge", wait: true };
    reviewed::apply(&pipeline, &repository.url(), gitea.admin(), &then).await;
    let (phase, message, output) = reviewed::ended(&pipeline, "prod").await;
    assert_eq!(phase, PromotionPhase::Succeeded, "{message}");
    reviewed::merged_once(&renamed, &output).await;
}

/// SIGKILL before the pull request is opened, and between its opening and the
/// write of the status; in between, somebody may have merged it and deleted
/// its branch.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_controller_opens_one_pull_request() {
    let Some(gitea) = reviewed::gitea("a killed controller and Gitea") else { return };
    for (after, merged_meanwhile) in [(false, false), (true, false), (true, true)] {
        let repository = Repository::create(gitea, &FILES).await;
        let pipeline = reviewed::pipeline().await;
        let then = Then::Wait;
        reviewed::apply(&pipeline, &repository.url(), gitea.admin(), &then).await;
        let step = "git-open-pr";
        let death = if after { Death::after(step) } else { Death::before(step) };
        let mortal = ControllerProcess::start(BINARY, &pipeline, Some(death));
        assert_eq!(mortal.died().await, Some(9), "{death:?}");
        assert_eq!(repository.pulls().await.len(), usize::from(after), "{death:?}");
        let how = json!({"Do": "squash", "delete_branch_after_merge": true});
        if merged_meanwhile {
            repository.merge(1, &how).await;
        }
        let _next = ControllerProcess::start(BINARY, &pipeline, None);
        let number = reviewed::opened(&pipeline).await;
        assert_eq!(number, 1, "{death:?}");
        if !merged_meanwhile {
            repository.merge(number, &how).await;
        }
        let (phase, message, output) = reviewed::ended(&pipeline, "prod").await;
        assert_eq!(phase, PromotionPhase::Succeeded, "{death:?}: {message}");
        reviewed::merged_once(&repository, &output).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_not_open_says_so() {
    let Some(gitea) = reviewed::gitea("a token without rights at Gitea") else { return };
    let repository = Repository::create(gitea, &FILES).await;
    let reader = gitea.user("reader").await;
    let access = json!({"permission": "read"});
    repository.done(Method::PUT, &format!("collaborators/{reader}"), &access).await;
    let token = gitea.token(&reader, &["all"]).await;
    let mut pipeline = reviewed::pipeline().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    reviewed::apply(&pipeline, &repository.url(), &token, &Then::Wait).await;
    let (phase, message, _) = reviewed::ended(&pipeline, "prod").await;
    assert_ne!(phase, PromotionPhase::Succeeded);
    assert!(message.contains("User permission denied for writing"), "{message}");
    assert!(!message.contains(&token), "{message}");
    assert_eq!(repository.pulls().await.len(), 0);
}

/// Who may open and push may be kept from merging.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_not_merge_says_so() {
    let Some(gitea) = reviewed::gitea("a token that may not merge at Gitea") else { return };
    let repository = Repository::create(gitea, &FILES).await;
    repository.protect(&json!({"enable_merge_whitelist": true})).await;
    let writer = gitea.user("writer").await;
    let access = json!({"permission": "write"});
    repository.done(Method::PUT, &format!("collaborators/{writer}"), &access).await;
    let token = gitea.token(&writer, &["all"]).await;
    let mut pipeline = reviewed::pipeline().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    let then = Then::Merge { method: "merge", wait: true };
    reviewed::apply(&pipeline, &repository.url(), &token, &then).await;
    let (phase, message, _) = reviewed::ended(&pipeline, "prod").await;
    assert_ne!(phase, PromotionPhase::Succeeded);
    assert!(message.contains("not allowed to merge"), "{message}");
    assert!(!message.contains(&token), "{message}");
    let pulls = repository.pulls().await;
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    assert_eq!(pulls[0]["merged"], false);
}

/// The repository gets another name while its pull request is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_renamed_meanwhile_is_followed() {
    let Some(gitea) = reviewed::gitea("a repository that is renamed at Gitea") else { return };
    let repository = Repository::create(gitea, &FILES).await;
    let mut pipeline = reviewed::pipeline().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    reviewed::apply(&pipeline, &repository.url(), gitea.admin(), &Then::Wait).await;
    let number = reviewed::opened(&pipeline).await;
    reviewed::saying(&pipeline, "a Promotion that waits", "waiting since 20").await;
    let renamed = repository.renamed().await;
    renamed.merge(number, &json!({"Do": "merge"})).await;
    let (phase, message, output) = reviewed::ended(&pipeline, "prod").await;
    assert_eq!(phase, PromotionPhase::Succeeded, "{message}");
    reviewed::merged_once(&renamed, &output).await;
}

/// Sixty of other people's do not hide the one that was opened before a
/// SIGKILL: there is no second.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_controller_finds_its_own_among_sixty() {
    let Some(gitea) = reviewed::gitea("sixty pull requests and a killed controller") else {
        return;
    };
    let repository = Repository::create(gitea, &FILES).await;
    let pipeline = reviewed::pipeline().await;
    reviewed::apply(&pipeline, &repository.url(), gitea.admin(), &Then::Wait).await;
    let mortal = ControllerProcess::start(BINARY, &pipeline, Some(Death::after("git-open-pr")));
    assert_eq!(mortal.died().await, Some(9));
    // Younger ones, so that its own is not on the first page.
    repository.branch("other-0", &[("more.yaml", "a: 1\n")]).await;
    repository.open("other-0", "main").await;
    for n in 1..60 {
        let branch = format!("other-{n}");
        let wanted = json!({"new_branch_name": branch, "old_branch_name": "other-0"});
        repository.done(Method::POST, "branches", &wanted).await;
        repository.open(&branch, "main").await;
    }
    let _next = ControllerProcess::start(BINARY, &pipeline, None);
    assert_eq!(reviewed::opened(&pipeline).await, 1);
    repository.merge(1, &json!({"Do": "squash"})).await;
    let (phase, message, output) = reviewed::ended(&pipeline, "prod").await;
    assert_eq!(phase, PromotionPhase::Succeeded, "{message}");
    assert_eq!(output["pr"]["merged"], true, "{output}");
    let pulls = repository.pulls().await;
    assert_eq!(pulls.len(), 61);
    let merged: Vec<_> = pulls.iter().filter(|p| p["merged"] == true).collect();
    assert_eq!(merged.len(), 1);
    assert_eq!(merged[0]["number"], 1);
}

/// A public repository shows its pull requests to everybody: waiting for one
/// needs no Secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_public_repository_is_waited_for_without_a_token() {
    let Some(gitea) = reviewed::gitea("a public repository at Gitea") else { return };
    let repository = Repository::create(gitea, &FILES).await;
    repository.set(&json!({"private": false})).await;
    repository.branch("promotion", &[(FILE, "image:\n  tag: 1.0.0\n")]).await;
    let number = repository.open("promotion", "main").await;
    let mut pipeline = reviewed::pipeline().await;
    pipeline.start_controllers(supercargo::wiring::steps());
    pipeline.push_tag(reviewed::IMAGE, "1.0.0");
    pipeline.apply(&reviewed::project()).await;
    let steps = json!([{"uses": "git-wait-for-pr", "as": "end", "config": {
        "repoURL": repository.url(), "provider": "gitea", "prNumber": number,
    }}]);
    let stage = json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Stage",
        "metadata": {"name": "prod", "namespace": reviewed::PROJECT},
        "spec": {
            "requestedFreight": [
                {"origin": {"kind": "Warehouse", "name": "web"}, "sources": {"direct": true}},
            ],
            "promotionTemplate": {"spec": {"steps": steps}},
        },
    });
    // JSON is YAML.
    pipeline.apply(&stage.to_string()).await;
    reviewed::saying(&pipeline, "a Promotion that waits", "waiting since 20").await;
    repository.merge(number, &json!({"Do": "merge"})).await;
    let (phase, message, output) = reviewed::ended(&pipeline, "prod").await;
    assert_eq!(phase, PromotionPhase::Succeeded, "{message}");
    reviewed::merged_once(&repository, &output).await;
}
