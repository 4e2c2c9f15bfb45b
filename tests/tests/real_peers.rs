//! The quick start with a real registry and a real web server in front of Git:
//! logins, and certificates that nobody has signed.

use api::PromotionPhase;
use e2e::Pipeline;
use e2e::examples::text;
use e2e::peers::{Peers, login};

const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";
const STAGE: &str = "frontend-dev-stage";

/// A manifest of the quick start with the peers' addresses, whose certificates
/// are not to be checked.
fn manifest(file: &str, image: &str, repository: &str) -> String {
    text(&format!("quickstart/{file}"))
        .replace(
            &format!("repoURL: docker.io/{IMAGE}\n"),
            &format!("repoURL: {image}\n      insecureSkipTLSVerify: true\n"),
        )
        .replace(&format!("docker.io/{IMAGE}"), image)
        .replace(
            "          repoURL: ${{ vars.gitopsRepo }}\n          checkout:",
            "          repoURL: ${{ vars.gitopsRepo }}\n          insecureSkipTLSVerify: true\n          checkout:",
        )
        .replace("value: https://your.git/repo.git", &format!("value: {repository}"))
        // Argo CD, which is simulated, finds the same repository under its public name.
        .replace("- repoURL: ${{ vars.gitopsRepo }}", "- repoURL: https://your.git/repo.git")
}

#[tokio::test(flavor = "multi_thread")]
async fn with_logins_and_certificates_of_their_own() {
    let mut pipeline = Pipeline::without_controllers().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    let Some(Peers { registry, web }) = Peers::start(&pipeline.world).await else { return };
    registry.push_tag(IMAGE, "v1.0.0").await;
    pipeline.start_controllers(supercargo::wiring::steps());

    let image = format!("{}/{IMAGE}", registry.url().trim_start_matches("https://"));
    let repository = format!("{}/repo.git", web.url());
    pipeline.apply(&text("quickstart/project.yaml")).await;
    pipeline.apply(&login("develop", "image-login", "image", &image)).await;
    pipeline.apply(&login("develop", "git-login", "git", &repository)).await;
    for file in ["application.yaml", "stage.yaml", "warehouse.yaml"] {
        pipeline.apply(&manifest(file, &image, &repository)).await;
    }
    for (tag, commits) in [("v1.0.0", 2), ("v1.1.0", 3)] {
        if tag != "v1.0.0" {
            registry.push_tag(IMAGE, tag).await;
            pipeline.refresh("develop", "frontend-dev-image", tag).await;
        }
        let promotion = pipeline.promoted("develop", STAGE, tag).await;
        let status = promotion.status.unwrap_or_default();
        assert_eq!(status.phase, PromotionPhase::Succeeded, "{tag}: {}", status.message);
        assert_eq!(pipeline.commits("repo.git").await.len(), commits, "{tag}");
        let file = pipeline.file("repo.git", "develop/frontend/wsp-web-instance.yaml").await;
        assert!(file.contains(tag), "{file}");
    }
    let asked = pipeline.world.git.traffic().requests().len();
    assert_eq!(asked, 0, "the sandbox's own Git host was asked {asked} times");
}
