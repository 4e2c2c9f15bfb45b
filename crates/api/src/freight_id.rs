//! A Freight's ID, which is its name: a hash over its origin and its artifacts
//! (`api` 7.3).

use sha1::{Digest, Sha1};

use crate::artifacts::{ArtifactReference, Chart, FreightOrigin, GitCommit, Image};
use crate::freight::Freight;
use crate::urls::{join_path, normalize_chart, normalize_git};

/// The text that is hashed.
pub fn hashed_text(
    origin: &FreightOrigin,
    commits: &[GitCommit],
    images: &[Image],
    charts: &[Chart],
    artifacts: &[ArtifactReference],
) -> String {
    let named = |text: String, subscription: &str| {
        if subscription.is_empty() { text } else { format!("{text}:{subscription}") }
    };
    let mut parts: Vec<String> = Vec::new();
    for c in commits {
        let url = normalize_git(&c.repo_url);
        let text = if c.tag.is_empty() {
            format!("{url}:{}", c.id)
        } else {
            format!("{url}:{}:{}", c.tag, c.id)
        };
        parts.push(named(text, &c.subscription_name));
    }
    for i in images {
        parts.push(named(format!("{}:{}@{}", i.repo_url, i.tag, i.digest), &i.subscription_name));
    }
    for c in charts {
        let address = join_path(&[&normalize_chart(&c.repo_url), &c.name]);
        parts.push(named(format!("{address}:{}", c.version), &c.subscription_name));
    }
    for a in artifacts {
        parts.push(format!("{}:{}:{}", a.artifact_type, a.subscription_name, a.version));
    }
    parts.sort();
    format!("{origin}:{}", parts.join("|"))
}

/// The ID: 40 hexadecimal digits. The order of artifacts does not matter.
pub fn freight_id(freight: &Freight) -> String {
    let text = hashed_text(
        &freight.origin,
        &freight.commits,
        &freight.images,
        &freight.charts,
        &freight.artifacts,
    );
    hex::encode(Sha1::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(repo_url: &str, tag: &str, id: &str) -> GitCommit {
        GitCommit {
            repo_url: repo_url.into(),
            tag: tag.into(),
            id: id.into(),
            ..GitCommit::default()
        }
    }

    fn freight(kind: &str, name: &str) -> Freight {
        Freight {
            origin: FreightOrigin { kind: kind.into(), name: name.into() },
            ..Freight::default()
        }
    }

    const ID: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f9012345678";
    const DIGEST: &str = "sha256:0c86dddac19f2ce4fd716ac58c0fd87bf69bfd4edabfd6971fb885bafd12a00b";

    fn cases() -> Vec<(&'static str, Freight, &'static str)> {
        let base = freight("Warehouse", "my-warehouse");
        let demo = "https://github.com/example/kargo-demo.git";
        let image = |url: &str, digest: &str| Image {
            repo_url: url.into(),
            tag: "1.26.2".into(),
            digest: digest.into(),
            ..Image::default()
        };
        let chart = |url: &str, name: &str| Chart {
            repo_url: url.into(),
            name: name.into(),
            version: "1.2.3".into(),
            ..Chart::default()
        };
        let nginx = image("public.ecr.aws/nginx/nginx", DIGEST);
        let oci = chart("oci://ghcr.io/example/charts/my-chart", "");
        vec![
            (
                "api/F1",
                Freight { commits: vec![commit(demo, "", ID)], ..base.clone() },
                "f46bdef5a9570ad03065e4b9bc69a5dda0bc7a2a",
            ),
            (
                "api/F2",
                Freight {
                    commits: vec![commit("https://GitHub.com/Example/Kargo-Demo", "v1.0.0", ID)],
                    ..base.clone()
                },
                "06f9565f2276dd3478f6554aca8e0d940805f249",
            ),
            (
                "api/F3",
                Freight { images: vec![nginx.clone()], ..base.clone() },
                "752041afde985483d1fd3cc9d0b5ec1dd88634db",
            ),
            (
                "api/F4",
                Freight { images: vec![image("docker.io/library/nginx", "")], ..base.clone() },
                "3c651d32ee74a637920548958317dce210758399",
            ),
            (
                "api/F5",
                Freight {
                    charts: vec![chart("https://charts.example.com", "my-chart")],
                    ..base.clone()
                },
                "f6874237e8a558460ca07e5699caa5d850ffcc1a",
            ),
            (
                "api/F6",
                Freight { charts: vec![oci.clone()], ..base.clone() },
                "8da366799f692d21050e8bc89eae3404527192b9",
            ),
            (
                "api/F7",
                Freight {
                    commits: vec![GitCommit {
                        subscription_name: "src".into(),
                        ..commit(demo, "", ID)
                    }],
                    images: vec![nginx],
                    charts: vec![oci],
                    artifacts: vec![ArtifactReference {
                        artifact_type: "application/vnd.example".into(),
                        subscription_name: "my-sub".into(),
                        version: "v7".into(),
                        metadata: None,
                    }],
                    ..base.clone()
                },
                "61497352df26d7b9b879890a647f5416ee733fcf",
            ),
            ("api/F8", base.clone(), "3419f2f1cf3415ed5ec765131b9354c20542ccc6"),
            (
                "api/F9",
                Freight {
                    commits: vec![commit("git@github.com:example/kargo-demo.git", "", ID)],
                    ..base
                },
                "2aa55f94a6295d072a71a6a605bfaf49d368811f",
            ),
            (
                "api/F10",
                Freight {
                    commits: vec![commit("fake-git-repo", "", "fake-commit-id")],
                    images: vec![Image {
                        repo_url: "fake-image-repo".into(),
                        tag: "fake-image-tag".into(),
                        ..Image::default()
                    }],
                    charts: vec![Chart {
                        repo_url: "fake-chart-repo".into(),
                        name: "fake-chart".into(),
                        version: "fake-chart-version".into(),
                        ..Chart::default()
                    }],
                    ..freight("fake-kind", "fake-name")
                },
                "2ef94c8c7020aa65825be992e9525f7703d15990",
            ),
            (
                "api/F11",
                Freight {
                    commits: vec![commit(
                        "https://github.com/example/repo",
                        "",
                        "abc123def456abc123def456abc123def456abc123",
                    )],
                    ..freight("", "")
                },
                "cec5af9136e19ddbd5c9f71717f1905c0e301800",
            ),
        ]
    }

    #[test]
    fn ids_are_the_reference_s_to_the_byte() {
        for (case, freight, id) in cases() {
            assert_eq!(freight_id(&freight), id, "{case}");
        }
    }

    #[test]
    fn what_matters_to_an_id_and_what_does_not() {
        for (case, freight, id) in cases() {
            // spec: api/freight-id-F12
            let mut turned = freight.clone();
            turned.commits.reverse();
            turned.images.reverse();
            turned.charts.reverse();
            assert_eq!(freight_id(&turned), id, "{case}");
            // spec: api/freight-id-F14
            let mut told = freight.clone();
            for c in &mut told.commits {
                c.branch = "other".into();
                c.author = "somebody".into();
            }
            for i in &mut told.images {
                i.annotations.insert("a".into(), "b".into());
            }
            assert_eq!(freight_id(&told), id, "{case}");
        }
        // spec: api/freight-id-F13
        let (_, mut named, id) = cases().swap_remove(0);
        named.commits[0].subscription_name = "n".into();
        assert_ne!(freight_id(&named), id);
    }
}
