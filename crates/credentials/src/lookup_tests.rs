//! Look-ups through fixed lists, and what is said about them.

use crate::fake::{PKCS1, Service, get, minting, secret, shown};
use crate::{
    CredentialKind, CredentialStore, ErrorClass, FixedCredentials, Login, LookupOptions, Outcome,
    Secret, StoredSecret,
};
use CredentialKind::{Git, Helm, Image};

const URL: &str = "https://github.com/akuity/kargo";
const UNPROTECTED: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ==\n-----END OPENSSH PRIVATE KEY-----";

fn basic(name: &str, data: &[(&str, &str)]) -> StoredSecret {
    let mut all = vec![("repoURL", URL), ("username", "u"), ("password", "canary")];
    all.extend(data);
    secret(name, "git", &all)
}

fn in_shared(mut secret: StoredSecret) -> StoredSecret {
    secret.reference.namespace = "shared".into();
    secret
}

fn store(secrets: Vec<StoredSecret>) -> FixedCredentials {
    let shared_namespace = Some("shared".to_owned());
    FixedCredentials::new(secrets, LookupOptions { shared_namespace, ..Default::default() })
}

const PATTERN: &[(&str, &str)] =
    &[("repoURL", "^https://github\\.com/akuity/"), ("repoURLIsRegex", "true")];

#[tokio::test]
async fn the_shared_namespace_is_asked_after_the_projects() {
    let cases = [
        ("credentials/K3", vec![in_shared(basic("a", &[]))], Some("shared/a")),
        ("credentials/K4", vec![in_shared(basic("a", PATTERN))], Some("shared/a")),
        ("credentials/K6", vec![in_shared(basic("a", &[])), basic("b", &[])], Some("p/b")),
        ("credentials/K9", vec![], None),
        // An answer is final: no other Secret is asked.
        (
            "credentials/K22",
            vec![in_shared(basic("a", &[])), basic("b", &[("password", "")])],
            None,
        ),
        ("credentials/K22", vec![basic("a", &[("username", "")]), basic("b", &[])], None),
    ];
    for (case, secrets, expected) in cases {
        let found = store(secrets).get("p", Git, "https://github.com/akuity/kargo.git").await;
        let found = found.unwrap().map(|found| found.source.to_string());
        assert_eq!(found, expected.map(|name| format!("Secret {name}")), "{case}");
    }
}

#[tokio::test]
async fn a_secret_yields_a_password_before_all_else() {
    let key = ("sshPrivateKey", UNPROTECTED);
    let app = [
        ("githubAppClientID", "Iv1"),
        ("githubAppInstallationID", "1"),
        ("githubAppPrivateKey", PKCS1),
    ];
    let login = async |data: &[(&str, &str)]| {
        let mut all = vec![("repoURL", URL)];
        all.extend(data);
        let github = Service::new(|_| (201, r#"{"token":"minted"}"#.to_owned()));
        let found =
            get(&[secret("a", "git", &all)], &minting(&github, &[]), Git, URL).await.unwrap();
        found.map(|found| match found.login {
            Login::Basic { password, .. } => password.expose().to_owned(),
            Login::SshKey(key) => key.private_key.expose().to_owned(),
        })
    };
    let (u, p) = (("username", "u"), ("password", " verbatim\n"));
    let pem = format!("{UNPROTECTED}\n");
    // Its name, the Secret's data, and what is presented.
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, Option<&'a str>);
    let cases: Vec<Case<'_>> = vec![
        ("as they are", vec![u, p], Some(" verbatim\n")),
        ("credentials/K22", vec![u, ("password", ""), key], None),
        ("credentials/K23", vec![u, key], Some(&pem)),
        ("credentials/K23 alone", vec![u], None),
        ("credentials/K24", vec![u, p, key], Some(" verbatim\n")),
        ("a key before an App", vec![key, app[0], app[1], app[2]], Some(&pem)),
        ("an App", vec![u, app[0], app[1], app[2]], Some("minted")),
        ("an empty key is final", vec![("sshPrivateKey", ""), app[0], app[1], app[2]], None),
        ("nothing that suits", vec![("foo", "bar")], None),
    ];
    for (case, data, expected) in cases {
        assert_eq!(login(&data).await.as_deref(), expected, "{case}");
    }
}

#[tokio::test]
async fn a_secret_that_is_wrong_is_named_and_its_values_are_not() {
    let cases: Vec<(&[(&str, &str)], &str)> = vec![
        (&[("sshPrivateKey", "ssh-ed25519 canary")], "its sshPrivateKey is a public key; "),
        (&[("username", "u"), ("password", "canary\u{fffd}")], "its password is not UTF-8 text; "),
        (
            &[
                ("githubAppID", "1"),
                ("githubAppInstallationID", "1"),
                ("githubAppPrivateKey", "canary canary"),
            ],
            "its githubAppPrivateKey is no RSA private key in PEM; ",
        ),
    ];
    for (data, words) in cases {
        let mut all = vec![("repoURL", URL)];
        all.extend(data);
        let github = Service::new(|_| (500, String::new()));
        let secrets = [secret("a", "git", &all)];
        let error = get(&secrets, &minting(&github, &[]), Git, URL).await.unwrap_err();
        let said = error.to_string();
        let start = format!("failed to get git creds for {URL} from Secret p/a: {words}");
        assert!(said.starts_with(&start), "{said}");
        assert_eq!(error.class(), ErrorClass::Config);
        assert!(!format!("{error:?}{said}").contains("canary"));
        // The explanation says the same.
        let explained = store(secrets.to_vec()).explain("p", Git, URL).await.unwrap();
        assert!(
            matches!(&explained.outcome, Outcome::Wrong { reason, .. } if reason.starts_with(words))
        );
    }
}

#[tokio::test]
async fn an_explanation_tells_who_serves_and_why_not_the_others() {
    let mut bad = basic("bad", PATTERN);
    bad.data.insert("repoURL".into(), Secret::new("(("));
    let secrets = vec![
        basic("c-exact", &[("sshPrivateKey", UNPROTECTED)]),
        basic("b-pattern", PATTERN),
        basic("a-other", &[("repoURL", "https://me:canary@github.com/akuity/other")]),
        secret("d-no-url", "git", &[("username", "u"), ("password", "canary")]),
        bad,
        secret("image", "image", &[("repoURL", URL), ("username", "u"), ("password", "canary")]),
        in_shared(basic("shared", &[])),
    ];
    let explained =
        store(secrets).explain("p", Git, "https://me:canary@github.com/Akuity/Kargo.git").await;
    let text = explained.unwrap().to_string();
    assert_eq!(
        text,
        "git: Secret p/b-pattern (user name and password) in the Project's namespace: its pattern ^https://github\\.com/akuity/ matches
  Secret p/a-other: its repoURL is https://github.com/akuity/other, not https://github.com/akuity/kargo
  Secret p/b-pattern: its pattern ^https://github\\.com/akuity/ matches: chosen
  Secret p/bad: its repoURL (( is no regular expression (unclosed group); mend it, or remove repoURLIsRegex
  Secret p/c-exact: its repoURL https://github.com/akuity/kargo is this repository too, but another's name sorts first
  Secret p/d-no-url: it has no repoURL; add one
  Secret shared/shared: its repoURL https://github.com/akuity/kargo is this repository too, but one that was asked before serves it"
    );
    assert!(!text.contains("canary"));
}

#[tokio::test]
async fn an_explanation_has_notes_and_outcomes() {
    let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/x";
    let with = |data: &[(&str, &str)]| {
        let mut all = vec![("repoURL", URL)];
        all.extend(data);
        vec![secret("a", "git", &all)]
    };
    let app = |id: &str| {
        with(&[
            ("githubAppClientID", "Iv1"),
            ("githubAppID", "1"),
            ("githubAppInstallationID", id),
            ("githubAppPrivateKey", PKCS1),
        ])
    };
    let cases = [
        (Git, URL, vec![], "git: no credential: no Secret covers it"),
        (
            Git,
            "http://github.com/akuity/kargo",
            with(&[]),
            "git: no credential, since the URL is plain HTTP; use https://, or start the controller with ALLOW_CREDENTIALS_OVER_HTTP=true",
        ),
        (
            Image,
            ecr,
            vec![],
            "image: the controller's AWS identity, where it has one; otherwise no credential",
        ),
        (
            Image,
            ecr,
            vec![secret("a", "image", &[("repoURL", ecr), ("foo", "bar")])],
            "image: the controller's AWS identity, where it has one; otherwise no credential\n  Secret p/a: its repoURL 123456789012.dkr.ecr.eu-west-1.amazonaws.com/x is this repository: chosen",
        ),
        (
            Helm,
            "oci://x.azurecr.io/y",
            vec![],
            "helm: the controller's Azure workload identity, where it has one; otherwise no credential",
        ),
        (
            Helm,
            "oci://gcr.io/x/y",
            vec![],
            "helm: the controller's Google workload identity, where it has one; otherwise no credential",
        ),
        (
            Git,
            URL,
            with(&[("username", "u")]),
            "git: no credential: Secret p/a covers it, but it lacks password; add it",
        ),
        (
            Git,
            URL,
            with(&[("username", "u"), ("password", "")]),
            "git: no credential: Secret p/a covers it, but its password is empty; fill it in",
        ),
        (
            Git,
            URL,
            with(&[("foo", "bar")]),
            "git: no credential: Secret p/a covers it, but it has none of the keys that make a credential; add username and password, for example",
        ),
        (
            Git,
            URL,
            with(&[("githubAppID", "1")]),
            "git: no credential: Secret p/a covers it, but it lacks githubAppInstallationID and githubAppPrivateKey; add it",
        ),
        (
            Git,
            URL,
            with(&[("awsRegion", "r")]),
            "git: no credential: Secret p/a covers it, but it lacks awsAccessKeyID and awsSecretAccessKey; add it",
        ),
        (
            Git,
            URL,
            with(&[("awsRegion", "r"), ("awsAccessKeyID", "i"), ("awsSecretAccessKey", "s")]),
            "git: no credential: Secret p/a covers it, but an AWS key serves images and charts at",
        ),
        (
            Git,
            URL,
            with(&[("gcpServiceAccountKey", "k")]),
            "git: no credential: Secret p/a covers it, but a Google service account key serves images and charts at",
        ),
        (
            Git,
            URL,
            with(&[("sshPrivateKey", UNPROTECTED)]),
            "git: Secret p/a (SSH key) in the Project's namespace: its repoURL https://github.com/akuity/kargo is this repository\n  note: without sshKnownHosts any server's host key is taken\n",
        ),
        (
            Git,
            URL,
            with(&[
                ("username", "u"),
                ("password", "p\n"),
                ("sshPrivateKey", "k"),
                ("githubAppID", "1"),
            ]),
            "git: Secret p/a (user name and password) in the Project's namespace: its repoURL https://github.com/akuity/kargo is this repository\n  note: its password ends with a line break, which is sent too\n  note: its sshPrivateKey is not used: username and password go first\n  note: its GitHub App is not used: other keys go first\n",
        ),
        (
            Git,
            URL,
            app("1"),
            "git: Secret p/a (GitHub App) in the Project's namespace: its repoURL https://github.com/akuity/kargo is this repository\n  note: its githubAppID is not used: githubAppClientID goes first\n",
        ),
        (Git, URL, app("x"), "git: an error: Secret p/a: error parsing installation ID: \"x\" "),
    ];
    for (kind, url, secrets, start) in cases {
        let text = store(secrets).explain("p", kind, url).await.unwrap().to_string();
        assert!(text.starts_with(start), "{text}");
    }
    let image = vec![secret(
        "a",
        "image",
        &[
            ("repoURL", "x.y/z"),
            ("githubAppID", "1"),
            ("githubAppPrivateKey", "k"),
            ("githubAppInstallationID", "1"),
        ],
    )];
    let text = store(image).explain("p", Image, "x.y/z").await.unwrap().to_string();
    assert!(text.contains("a GitHub App serves Git repositories only"), "{text}");
}

#[tokio::test]
async fn host_keys_come_with_an_ssh_key() {
    let data = [
        ("repoURL", "git@github.com:akuity/kargo.git"),
        ("sshPrivateKey", UNPROTECTED),
        ("sshKnownHosts", "github.com ssh-ed25519 AAAA"),
    ];
    let store = store(vec![secret("a", "git", &data)]);
    let found = store.get("p", Git, "ssh://git@github.com/akuity/kargo").await.unwrap().unwrap();
    let Login::SshKey(key) = &found.login else { panic!("no key") };
    assert_eq!(key.known_hosts.as_deref(), Some("github.com ssh-ed25519 AAAA"));
    assert_eq!(shown(&Some(found.clone())), None);
    assert!(!format!("{found:?}").contains("BEGIN"));
    assert!(!found.masker().is_empty());
    assert_eq!(found.source.identity(), "uid-a");
}
