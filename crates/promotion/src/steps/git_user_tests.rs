//! Who commits where a clone names no author (`steps-git` 4.4).

use std::sync::Arc;

use async_trait::async_trait;
use credentials::Secret;
use serde_json::json;

use super::git_tests::{REPO, Site};
use crate::error::{ErrorClass, StepError};
use crate::git_user::{ConfiguredUser, GitUsers};

const KEY: &str = include_str!("../../../git/tests/keys/ssh-ed25519");
const OTHER_KEY: &str = include_str!("../../../git/tests/keys/ssh-ecdsa");

/// What a ClusterConfig says, or what is wrong with it.
#[derive(Debug)]
struct Configured(Result<Option<ConfiguredUser>, String>);

#[async_trait]
impl GitUsers for Configured {
    async fn configured(&self) -> Result<Option<ConfiguredUser>, StepError> {
        self.0.clone().map_err(|e| StepError::new(ErrorClass::Config, e))
    }
}

fn user(name: &str, email: &str, key: Option<&str>) -> Result<Option<ConfiguredUser>, String> {
    Ok(Some(ConfiguredUser {
        name: name.into(),
        email: email.into(),
        signing_key: key.map(Secret::new),
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_system_user_is_the_configured_one_or_the_environments() {
    let environment = |key: Option<&str>| {
        let identity = git::Identity::new("Env", "env@example.com");
        match key {
            Some(key) => identity.signing_with(git::SigningKey::parse(key).unwrap()),
            None => identity,
        }
    };
    // (rule of steps-git 4.4, environment's key, configured, who, signed with)
    let cases = [
        ("a", None, Ok(None), "Env <env@example.com>", None),
        ("a", Some(KEY), Ok(None), "Env <env@example.com>", Some(KEY)),
        ("b", None, user("C", "c@example.com", None), "C <c@example.com>", None),
        ("b", Some(KEY), user("C", "c@example.com", None), "C <c@example.com>", Some(KEY)),
        ("c", Some(KEY), user("C", "c@e.x", Some(OTHER_KEY)), "C <c@e.x>", Some(OTHER_KEY)),
        ("1", None, user("", "", None), "Kargo <no-reply@kargo.io>", None),
    ];
    for (rule, key, configured, who, signed) in cases {
        let site = Site::with(&[("a", "1")], &[], |access| {
            access.identity = environment(key);
            access.users = Some(Arc::new(Configured(configured.clone())));
        })
        .await;
        let mut p = site.promotion("x");
        p.clone_main().await;
        p.write("src/a", "2");
        p.commit("m").await;
        p.push().await.unwrap();
        let log = site.host.log(REPO, "main").await.unwrap();
        assert_eq!((log[0].author.as_str(), log[0].committer.as_str()), (who, who), "{rule}");
        let raw = site.host.signature(REPO, &log[0].id).await.unwrap();
        assert_eq!(raw.is_some(), signed.is_some(), "{rule}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_user_that_cannot_be_had_fails_the_clone() {
    for (configured, expected) in [
        (
            Err("secret \"k\" does not contain expected key \"signingKey\"".to_owned()),
            "error resolving system git user: secret \"k\" does not contain expected key \"signingKey\"",
        ),
        (
            user("C", "c@e.x", Some("canary")),
            "error resolving system git user: the signing key is neither an OpenPGP private key",
        ),
    ] {
        let site = Site::with(&[("a", "1")], &[], |access| {
            access.users = Some(Arc::new(Configured(configured.clone())));
        })
        .await;
        let mut p = site.promotion("x");
        let config = json!({"repoURL": site.url(), "checkout": [{"path": "src"}]});
        let error = p.fails("git-clone", config.clone()).await;
        assert!(error.message.starts_with(expected), "{error}");
        // An author of the step's own asks nobody.
        let mut config = config;
        config["author"] = json!({"name": "A", "email": "a@e.x"});
        p.run("git-clone", "clone", config).await.unwrap();
    }
}

/// steps-git 4.4 rules 5 and 6: an author replaces the user and its key whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authors_own_key_or_none_signs() {
    let site = Site::with(&[("a", "1")], &[], |access| {
        access.identity = git::Identity::new("Env", "env@example.com")
            .signing_with(git::SigningKey::parse(KEY).unwrap());
    })
    .await;
    let plain = json!({"name": "A", "email": "a@e.x"});
    let signing = json!({"name": "A", "email": "A <a@e.x>", "signingKey": OTHER_KEY});
    for (n, (clones, commits, signed)) in [
        (None, None, true),
        (Some(&plain), None, false),
        (Some(&signing), None, true),
        (None, Some(&plain), false),
        (Some(&plain), Some(&signing), true),
    ]
    .into_iter()
    .enumerate()
    {
        let mut p = site.promotion(&format!("p{n}"));
        let mut config = json!({"repoURL": site.url(), "checkout": [{"path": "src"}]});
        if let Some(author) = clones {
            config["author"] = author.clone();
        }
        p.run("git-clone", "clone", config).await.unwrap();
        p.write("src/a", &format!("changed {n}"));
        let mut config = json!({"path": "src", "message": "m"});
        if let Some(author) = commits {
            config["author"] = author.clone();
        }
        p.run("git-commit", "commit", config).await.unwrap();
        p.push().await.unwrap();
        let tip = site.host.id(REPO, "main").await.unwrap().unwrap();
        assert_eq!(site.host.signature(REPO, &tip).await.unwrap().is_some(), signed, "{n}");
        // No file of the working directory holds the key.
        let author = site.host.log(REPO, "main").await.unwrap()[0].author.clone();
        let named = clones.is_some() || commits.is_some();
        assert_eq!(author, if named { "A <a@e.x>" } else { "Env <env@example.com>" }, "{n}");
    }
    let mut p = site.promotion("bad");
    let author = json!({"name": "A", "email": "a@e.x", "signingKey": "canary"});
    let config = json!({"repoURL": site.url(), "author": author, "checkout": [{"path": "src"}]});
    let error = p.fails("git-clone", config).await;
    assert!(error.message.starts_with("author.signingKey: the signing key is neither"), "{error}");
}
