//! Amazon ECR, against a service that answers as ECR, STS and the pod's agent
//! do, and looks at the signatures.

use std::io::Write;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::fake::{Service, field, get, minting, secret, shown};
use crate::providers::{Ambient, choose};
use crate::select::Asked;
use crate::{CredentialKind, Provider, Source};
use CredentialKind::{Git, Helm, Image};

const URL: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app";

fn key() -> StoredSecret {
    secret(
        "aws",
        "image",
        &[
            ("repoURL", URL),
            ("awsRegion", "eu-west-1"),
            ("awsAccessKeyID", "AKIDEXAMPLE"),
            ("awsSecretAccessKey", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        ],
    )
}

/// ECR's answer with this password, good for twelve hours.
fn data(password: &str) -> String {
    let token = STANDARD.encode(format!("AWS:{password}"));
    format!(
        r#"{{"authorizationData":[{{"authorizationToken":"{token}","expiresAt":1772409600.123,"proxyEndpoint":"https://x"}}]}}"#
    )
}

fn keys_xml(action: &str, id: &str) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s&#43;cret</SecretAccessKey><SessionToken>session-{id}</SessionToken><Expiration>2026-03-01T13:00:00Z</Expiration></Credentials></{action}Result></{action}Response>"
    )
}

fn denied_xml() -> String {
    "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>".to_owned()
}

#[test]
fn keys_of_the_cache_tell_everything_apart() {
    let cases = [
        (
            "credentials/7-1",
            vec!["region1"],
            "7507acda9c58034d4f38545edd121b4c8572483cbc5c7dc40f3daa2c74d8430a",
        ),
        (
            "credentials/7-2",
            vec!["region1", "key1", "secret1"],
            "559495d4cca6055810e755d40dfdeeb1aa0a937f3030463be970b9cd2d586002",
        ),
        (
            "credentials/7-3",
            vec![],
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            "credentials/7-4",
            vec!["test123"],
            "ecd71870d1963316a97e3ac3408c9835ad8cf0f3c1bc703527c30265534f75ae",
        ),
    ];
    for (case, parts, key) in cases {
        assert_eq!(cache_key(&parts), key, "{case}");
    }
    let access = AccessKey::of(&key()).unwrap().unwrap();
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    assert_eq!(access.cache_key(), cache_key(&["eu-west-1", "AKIDEXAMPLE", secret]));
}

#[test]
fn a_registry_is_told_by_its_host() {
    let here = |account: &str, region: &str| {
        Some(Registry { account: account.into(), region: region.into() })
    };
    let cases = [
        (
            "credentials/K60",
            "123456789012.dkr.ecr.us-west-2.amazonaws.com/my-repo",
            here("123456789012", "us-west-2"),
        ),
        (
            "credentials/K61",
            "123456789012.dkr.ecr.us-west-2.amazonaws.com/team/service/image",
            here("123456789012", "us-west-2"),
        ),
        ("credentials/K62", "123456789012.dkr.ecr.us-west-2.amazonaws.com", None),
        ("credentials/K62", "12345678901.dkr.ecr.us-west-2.amazonaws.com/my-repo", None),
        ("credentials/K62", "us-central1-docker.pkg.dev/p/r", None),
        // Another's host, which upstream's pattern takes for a region.
        ("a path that looks so", "123456789012.dkr.ecr.evil.io/x.amazonaws.com/r", None),
        ("two labels", "123456789012.dkr.ecr.evil.io.amazonaws.com/r", None),
    ];
    for (case, url, registry) in cases {
        assert_eq!(Registry::of(url), registry, "{case}");
    }
}

#[test]
fn a_key_serves_images_and_oci_charts_where_it_is_whole() {
    let without = |name: &str| {
        let mut key = key();
        key.data.remove(name);
        key
    };
    let oci = format!("oci://{URL}");
    let https = format!("https://{URL}");
    let cases = [
        ("whole", Image, URL, key(), true),
        ("credentials/K63", Image, URL, without("awsRegion"), false),
        ("credentials/K63", Image, URL, without("awsAccessKeyID"), false),
        ("credentials/K63", Image, URL, without("awsSecretAccessKey"), false),
        ("credentials/K64", Helm, oci.as_str(), key(), true),
        ("credentials/K64", Helm, https.as_str(), key(), false),
        ("Git", Git, https.as_str(), key(), false),
    ];
    for (case, kind, url, secret, expected) in cases {
        let chosen = choose(&Asked::new(kind, url), Some(&secret), Ambient::default());
        assert_eq!(chosen == Some(Provider::EcrAccessKey), expected, "{case}");
    }
    let mut elsewhere = key();
    elsewhere.data.insert("awsRegion".into(), Secret::new("evil.io/x"));
    let wrong = AccessKey::of(&elsewhere).unwrap_err();
    assert!(wrong.message.starts_with("its awsRegion \"evil.io/x\" is no region"), "{wrong}");
    elsewhere.data.insert("awsRegion".into(), Secret::new(""));
    assert_eq!(AccessKey::of(&elsewhere).unwrap(), None);
}

#[test]
fn a_login_is_taken_out_of_its_token() {
    let cases = [
        ("credentials/K65", "QVdTOnBhc3N3b3Jk".to_owned(), Ok(("AWS", "password"))),
        ("only the first colon", STANDARD.encode("AWS:a:b"), Ok(("AWS", "a:b"))),
        ("credentials/K66", "invalid-base64".to_owned(), Err("error decoding token: ")),
        ("credentials/K67", STANDARD.encode("not-a-valid-token"), Err("invalid token format")),
    ];
    for (case, token, expected) in cases {
        match (login(&token), expected) {
            (Ok(Login::Basic { username, password }), Ok((user, word))) => {
                assert_eq!((username.as_str(), password.expose()), (user, word), "{case}");
            }
            (Err(wrong), Err(start)) => {
                assert!(wrong.message.starts_with(start), "{case}: {wrong}")
            }
            (found, _) => panic!("{case}: {found:?}"),
        }
    }
}

#[test]
fn the_identities_tried_follow_from_the_accounts() {
    let role = |account: &str| {
        Identity::Role(Role {
            arn: format!("arn:aws:iam::{account}:role/kargo-project-p"),
            session: "kargo-controller".into(),
            external_id: "kargo-project-p".into(),
        })
    };
    // credentials/K68
    assert_eq!(identities("1", "1", "p", ""), [role("1"), Identity::Own]);
    // credentials/K69
    assert_eq!(identities("1", "2", "p", ""), [role("1"), role("2"), Identity::Own]);
    // credentials/K73
    for (shard, name) in [
        (String::new(), "kargo-controller".to_owned()),
        ("shard-1".to_owned(), "kargo-controller-shard-1".to_owned()),
        ("a".repeat(47), format!("kargo-controller-{}", "a".repeat(47))),
        ("a".repeat(60), format!("kargo-controller-{}", "a".repeat(47))),
    ] {
        assert_eq!(session_name(&shard), name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_static_key_signs_the_request_and_its_login_is_kept() {
    let ecr = Service::new(|_| (200, data("word")));
    let minting = minting(&ecr, &[]);
    for _ in 0..3 {
        let found = get(&[key()], &minting, Image, URL).await.unwrap();
        assert_eq!(shown(&found), Some(("AWS".into(), "word".into())));
    }
    let asked = ecr.asked();
    let [request] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(format!("{request:?}"), "POST https://api.ecr.eu-west-1.amazonaws.com/");
    assert_eq!(request.body.expose(), "{}");
    assert_eq!(request.header_value("content-type"), Some("application/x-amz-json-1.1"));
    assert_eq!(
        request.header_value("x-amz-target"),
        Some("AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken")
    );
    // As botocore signs the same request at the same time.
    assert_eq!(
        request.header_value("authorization"),
        Some(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260301/eu-west-1/ecr/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=79f305fc58f0fd642d8c87b8836833dc96fd2158cbf78d1868858723ac8edbd0"
        )
    );
    // Twelve hours less five minutes later a new one is asked for.
    tokio::time::advance(Duration::from_secs(12 * 3600 - 300)).await;
    get(&[key()], &minting, Image, URL).await.unwrap().unwrap();
    assert_eq!(ecr.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_ecr_says_is_told_without_the_key() {
    let fault = |kind: &str| format!(r#"{{"__type":"x#{kind}","message":"the words"}}"#);
    let cases = [
        (
            200,
            r#"{"authorizationData":[]}"#.to_owned(),
            "no authorization data returned",
            ErrorClass::Transient,
        ),
        (
            200,
            r#"{"authorizationData":[{}]}"#.to_owned(),
            "no authorization token returned",
            ErrorClass::Transient,
        ),
        (
            200,
            r#"{"authorizationData":[{"authorizationToken":"***"}]}"#.to_owned(),
            "error decoding token: it is no base64",
            ErrorClass::Transient,
        ),
        (200, "<html>".to_owned(), "ECR answered with something else", ErrorClass::Transient),
        (
            400,
            fault("UnrecognizedClientException"),
            "ECR answered 400: UnrecognizedClientException: the words",
            ErrorClass::Auth,
        ),
        (
            403,
            fault("AccessDeniedException"),
            "ECR answered 403: AccessDeniedException: the words",
            ErrorClass::Auth,
        ),
        (500, String::new(), "ECR answered 500: ", ErrorClass::Transient),
    ];
    for (status, body, said, class) in cases {
        let ecr = Service::new(move |_| (status, body.clone()));
        let minting = minting(&ecr, &[]);
        for asked in 1..=2 {
            let error = get(&[key()], &minting, Image, URL).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "failed to get image creds for {URL} from Secret p/aws: error getting ECR auth token: {said}"
                )
            );
            assert_eq!(error.class(), class, "{said}");
            assert_eq!(ecr.asked().len(), asked, "errors are not kept");
        }
    }
}

/// A pod with a role for its service account.
fn irsa(token: &tempfile::NamedTempFile) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_REGION", "eu-west-1".into()),
        ("AWS_ROLE_ARN", "arn:aws:iam::222222222222:role/controller".into()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.path().display().to_string()),
        ("SHARD_NAME", "shard-1".into()),
    ]
}

fn pod_token() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "pod-token").unwrap();
    file
}

/// Answers for the pod's account 222222222222: roles by what `role` says of
/// them, ECR by what `ecr` says of the key that signs.
fn amazon(
    role: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
    ecr: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
) -> Arc<Service> {
    Service::new(move |request| {
        if request.url.contains("sts.") {
            return match field(request, "Action").as_str() {
                "AssumeRoleWithWebIdentity" => (200, keys_xml("AssumeRoleWithWebIdentity", "OWN")),
                "GetCallerIdentity" => (
                    200,
                    "<R><GetCallerIdentityResult><Account>222222222222</Account></GetCallerIdentityResult></R>".to_owned(),
                ),
                _ => role(&field(request, "RoleArn")),
            };
        }
        let authorization = request.header_value("authorization").unwrap();
        let id = authorization.split("Credential=").nth(1).unwrap().split('/').next().unwrap();
        ecr(id)
    })
}

async fn ask(service: &Arc<Service>) -> Result<Option<crate::Credential>, crate::CredentialError> {
    let token = pod_token();
    let environment = irsa(&token);
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    get(&[], &minting(service, &environment), Image, URL).await
}

#[tokio::test]
async fn the_first_identity_that_is_let_in_serves() {
    const REGISTRY: &str = "arn:aws:iam::123456789012:role/kargo-project-p";
    const OWN: &str = "arn:aws:iam::222222222222:role/kargo-project-p";
    let denied = || (403, denied_xml());

    // credentials/K68, K69: the Project's role in the registry's account comes first.
    let amazon_ = amazon(
        |arn| (200, keys_xml("AssumeRole", if arn == REGISTRY { "ONE" } else { "TWO" })),
        |id| (200, data(id)),
    );
    let found = ask(&amazon_).await.unwrap();
    assert_eq!(shown(&found), Some(("AWS".into(), "ONE".into())));
    assert_eq!(
        found.unwrap().source,
        Source::Ambient { project: "p".into(), provider: Provider::EcrManagedIdentity }
    );
    let asked = amazon_.asked();
    let [own, who, role, ecr] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(field(own, "WebIdentityToken"), "pod-token");
    assert_eq!(field(own, "RoleArn"), "arn:aws:iam::222222222222:role/controller");
    assert_eq!(own.header_value("authorization"), None);
    assert_eq!(own.url, "https://sts.eu-west-1.amazonaws.com/");
    assert_eq!(field(who, "Action"), "GetCallerIdentity");
    assert_eq!(who.header_value("x-amz-security-token"), Some("session-OWN"));
    // credentials/K73
    assert_eq!(field(role, "RoleSessionName"), "kargo-controller-shard-1");
    assert_eq!(field(role, "ExternalId"), "kargo-project-p");
    assert_eq!(ecr.header_value("x-amz-security-token"), Some("session-ONE"));

    // credentials/K70: the first two are refused, by STS and by ECR.
    let third = amazon(
        move |arn| if arn == OWN { (200, keys_xml("AssumeRole", "TWO")) } else { denied() },
        |id| match id {
            "TWO" => (400, r#"{"__type":"AccessDeniedException"}"#.to_owned()),
            id => (200, data(id)),
        },
    );
    assert_eq!(shown(&ask(&third).await.unwrap()), Some(("AWS".into(), "OWN".into())));

    // credentials/K71
    let none = amazon(move |_| denied(), |_| (403, "{}".to_owned()));
    assert_eq!(ask(&none).await.unwrap(), None);
    assert_eq!(none.count("sts."), 4, "both roles were tried");
    assert_eq!(none.count("api.ecr."), 1, "and the pod's own");

    // credentials/K72
    let broken = amazon(|_| (500, String::new()), |id| (200, data(id)));
    let error = ask(&broken).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "failed to get image creds for {URL} from the controller's AWS identity for Project p: error getting ECR auth token: STS answered 500: "
        )
    );
    assert_eq!(broken.count("api.ecr."), 0, "no other identity was tried");
}

#[tokio::test]
async fn a_request_with_a_session_is_signed_as_botocore_does() {
    let keys = Keys {
        id: "AKIDEXAMPLE".into(),
        secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session: Some(Secret::new("session-token")),
    };
    let sts = Service::new(|_| (200, keys_xml("AssumeRole", "NEW")));
    let asking = crate::providers::aws::sts::Sts {
        http: sts.as_ref(),
        url: "https://sts.eu-west-1.amazonaws.com/",
        region: "eu-west-1",
        now: crate::fake::start(),
    };
    let Identity::Role(role) = &identities("123456789012", "1", "p", "shard-1")[0] else {
        panic!("the first is a role")
    };
    let new = asking.assume_role(&keys, role).await.unwrap();
    assert_eq!((new.id.as_str(), new.secret.expose()), ("NEW", "s+cret"));
    assert_eq!(
        sts.asked()[0].header_value("authorization"),
        Some(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260301/eu-west-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=1c0c195aa597e25065602f9f981956e6d40c4b2578b2fb3bda4542c363be5366"
        )
    );
}

#[tokio::test]
async fn pod_identity_is_asked_for_keys_past_any_proxy() {
    let token = pod_token();
    let agent = Service::new(|request| {
        if request.url.contains("169.254.170.23") {
            let keys = r#"{"AccessKeyId":"OWN","SecretAccessKey":"s","Token":"session-OWN","Expiration":"2026-03-01T13:00:00Z"}"#;
            return (200, keys.to_owned());
        }
        if request.url.contains("sts.") {
            return match field(request, "Action").as_str() {
                "GetCallerIdentity" => (200, "<A><Account>123456789012</Account></A>".to_owned()),
                _ => (403, denied_xml()),
            };
        }
        (200, data("word"))
    });
    let file = token.path().display().to_string();
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.as_str()),
    ];
    // credentials/K21: the Secret has nothing that suits, the pod's identity serves.
    let odd = secret("odd", "image", &[("repoURL", URL), ("foo", "bar")]);
    let minting = minting(&agent, &environment);
    let found = get(&[odd], &minting, Image, URL).await.unwrap();
    assert_eq!(shown(&found), Some(("AWS".into(), "word".into())), "credentials/K21");
    let asked = agent.asked();
    assert!(asked[0].direct);
    assert_eq!(asked[0].header_value("authorization"), Some("pod-token"));
    // The registry is in the pod's own account: one role and its own keys.
    assert_eq!(agent.count("sts."), 2);
    // A Secret with a key goes first, and another Project has a login of its own.
    get(&[key()], &minting, Image, URL).await.unwrap().unwrap();
    assert_eq!(agent.count("169.254.170.23"), 1);
}

#[test]
fn an_environment_that_cannot_be_used_is_told_by_its_variable() {
    let read = |set: &[(&'static str, &'static str)]| {
        let set = set.to_vec();
        let read = move |name: &str| {
            set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::from_environment(&read)
    };
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&[("AWS_ROLE_ARN", "arn")]), Ok(None), "half of it is none");
    assert_eq!(read(&[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]), Ok(None));
    for (uri, fits) in [
        ("https://agent.example.com/x", true),
        ("http://169.254.170.2/x", true),
        ("http://[fd00:ec2::23]/x", true),
        ("http://agent.example.com/x", false),
        ("agent", false),
    ] {
        let found = read(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)]);
        assert_eq!(found.is_ok(), fits, "{uri}");
        assert!(
            found.is_ok() || found.unwrap_err().starts_with("AWS_CONTAINER_CREDENTIALS_FULL_URI: ")
        );
    }
    let region =
        read(&[("AWS_REGION", "Nowhere!"), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://a/")]);
    assert!(region.unwrap_err().starts_with("AWS_REGION: "));
}
