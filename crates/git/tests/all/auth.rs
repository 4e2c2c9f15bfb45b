use git::{ErrorClass, GitError, UrlRewrites};
use sandbox::git_host::GitService;

use super::*;

const CANARY: &str = "canary-7d1f-token";

async fn private() -> Setup {
    let s = Setup::new(&[("a", "1")]).await;
    s.host.set_auth(REPO, Some(("bot".into(), CANARY.into())));
    s
}

/// The error of listing the references.
async fn refused(s: &Setup, remote: &Remote) -> GitError {
    let error = s.git.snapshot(remote, Freshness::Now, &never()).await.unwrap_err();
    for text in [error.to_string(), format!("{error:?}"), format!("{remote:?}")] {
        assert!(!text.contains("canary"), "{text}");
    }
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_token_opens_a_private_repository() {
    let s = private().await;
    s.git.snapshot(&s.remote_as("bot", CANARY), Freshness::Now, &never()).await.unwrap();
    // In the URL, too; the URL that is shown has none of it.
    let url = s.host.repository_url(REPO).replace("http://", &format!("http://bot:{CANARY}@"));
    let remote = s.git.remote(&url, None, false).unwrap();
    s.git.snapshot(&remote, Freshness::Now, &never()).await.unwrap();
    assert_eq!(remote.url(), s.host.repository_url(REPO));
    // Another user's data is not served to a guest.
    assert_eq!(refused(&s, &s.remote()).await.class(), ErrorClass::Auth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_the_host_and_the_secret_and_never_the_token() {
    let s = private().await;
    let host = s.host.url().replace("http://", "");
    let url = s.host.repository_url(REPO);
    let in_url = url.replace("http://", "http://bot:canary-wrong@");
    let alone = url.replace("http://", "http://canary-alone@");
    let cases = [
        (
            s.remote(),
            format!(
                "authentication required: {host} asks for credentials for {url} and no Secret labelled kargo.akuity.io/cred-type: git matches that URL; add one to the Project, or correct repoURL"
            ),
        ),
        (
            s.remote_as("bot", "canary-wrong"),
            format!(
                "authentication failed: {host} refused the credentials of Secret p/repo for {url}; check that they are valid and may access the repository"
            ),
        ),
        (
            s.git.remote(&in_url, None, false).unwrap(),
            format!(
                "authentication failed: {host} refused the credentials of the URL's userinfo for {url}; check that they are valid and may access the repository"
            ),
        ),
        (
            s.git.remote(&alone, None, false).unwrap(),
            format!(
                "authentication failed: {host} refused the credentials of the URL's userinfo for {url}; check that they are valid and may access the repository"
            ),
        ),
    ];
    for (remote, expected) in cases {
        let error = refused(&s, &remote).await;
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.class(), ErrorClass::Auth);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_changed_is_tried_before_data_is_served() {
    let s = private().await;
    let week = Freshness::Within(std::time::Duration::from_secs(604_800));
    s.git.snapshot(&s.remote_as("bot", CANARY), week, &never()).await.unwrap();
    let listed = s.host.traffic().count(|r| r.lists_refs);
    s.git.snapshot(&s.remote_as("bot", CANARY), week, &never()).await.unwrap();
    assert_eq!(s.host.traffic().count(|r| r.lists_refs), listed);
    let error = s.git.snapshot(&s.remote_as("bot", "revoked"), week, &never()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Auth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_goes_to_no_other_server() {
    let thief = GitHost::start(GitHostOptions {
        auth: Some(("x".into(), "y".into())),
        ..Default::default()
    })
    .await
    .unwrap();
    thief.create_repository(REPO, &[("a", "1")]).await.unwrap();
    // Another port of the same host, and another name of it.
    let elsewhere = thief.repository_url(REPO);
    for to in [elsewhere.replace("127.0.0.1", "localhost"), elsewhere] {
        let s = private().await;
        s.host.traffic().redirect("/team/app.git", &to);
        let error = refused(&s, &s.remote_as("bot", CANARY)).await;
        assert!(matches!(error, GitError::OtherHost { .. }), "{error:?}");
        assert_eq!(thief.traffic().total(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_on_the_same_host_is_followed() {
    let s = private().await;
    s.host.traffic().redirect("/old/app", "/team/app.git");
    let auth = Auth::basic("bot", CANARY, "Secret p/repo", "uid");
    let url = format!("{}/old/app", s.host.url());
    let remote = s.git.remote(&url, Some(auth), false).unwrap();
    let snapshot = s.git.snapshot(&remote, Freshness::Now, &never()).await.unwrap();
    assert!(snapshot.branch("main").is_ok());
    assert!(s.host.traffic().count(|r| r.status == 301) >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rewritten_addresses_keep_their_public_name() {
    let s = private().await;
    let rewrites = UrlRewrites::new().with("https://your.git/", format!("{}/team/", s.host.url()));
    let auth = || Some(Auth::basic("bot", CANARY, "Secret p/repo", "uid"));
    let remote = Remote::new("https://your.git/app.git", &rewrites, auth(), false).unwrap();
    assert_eq!(remote.url(), "https://your.git/app.git");
    let snapshot = s.git.snapshot(&remote, Freshness::Now, &never()).await.unwrap();
    assert!(snapshot.branch("nope").unwrap_err().to_string().contains("https://your.git/app.git"));
    let missing = Remote::new("https://your.git/none.git", &rewrites, auth(), false).unwrap();
    let said = refused(&s, &missing).await.to_string();
    assert_eq!(
        said,
        "repository https://your.git/none.git was not found (HTTP 404); check repoURL, and that Secret p/repo may read the repository"
    );
    // A host that is not there.
    s.host.traffic().fail_next(1, 500, Some(GitService::Fetch));
    let said = refused(&s, &remote).await.to_string();
    assert!(
        said.starts_with("your.git could not be reached or broke off while fetching"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_does_not_answer_is_named() {
    let s = private().await;
    let remote = s.remote_as("bot", CANARY);
    let host = s.host.url().replace("http://", "");
    let Setup { host: server, git, dir } = s;
    // Its port is closed once nobody holds it.
    drop(Arc::into_inner(server).unwrap());
    for url in [remote.url().to_owned(), "http://no-such-host.invalid/a.git".to_owned()] {
        let auth = Auth::basic("bot", CANARY, "Secret p/repo", "uid-1");
        let remote = git.remote(&url, Some(auth), false).unwrap();
        let error = git.snapshot(&remote, Freshness::Now, &never()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Transient, "{error:?}");
        let named = if url.contains("invalid") { "no-such-host.invalid" } else { &host };
        let said = error.to_string();
        let begin = format!("{named} could not be reached or broke off while fetching: ");
        assert!(said.starts_with(&begin) && !said.contains("canary"), "{said}");
    }
    drop(dir);
}
