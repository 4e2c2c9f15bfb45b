//! The Freight that artifacts make (`warehouses` 9.3, 9.4, 10.2).

use api::{Chart, DiscoveredArtifacts, Freight, FreightOrigin, GitCommit, Image, Time};
use jiff::Timestamp;
use kube::api::ObjectMeta;

/// Makes Freight of the newest artifact of every subscription: its name is its
/// ID, with the origin in it. It has no alias yet.
///
/// # Errors
/// Text that says which subscription has nothing.
pub fn build(
    namespace: &str,
    warehouse: &str,
    artifacts: Option<&DiscoveredArtifacts>,
    now: Timestamp,
) -> Result<Freight, String> {
    let artifacts = artifacts.ok_or("no artifacts discovered")?;
    let mut freight = Freight {
        metadata: ObjectMeta { namespace: Some(namespace.to_owned()), ..ObjectMeta::default() },
        origin: FreightOrigin::warehouse(warehouse),
        discovered_at: Some(Time(crate::clock::whole_seconds(now))),
        ..Freight::default()
    };
    for found in &artifacts.git {
        let url = &found.repo_url;
        let newest = found
            .commits
            .first()
            .ok_or_else(|| format!("no commits discovered for repository {url:?}"))?;
        freight.commits.push(GitCommit {
            repo_url: url.clone(),
            id: newest.id.clone(),
            branch: newest.branch.clone(),
            tag: newest.tag.clone(),
            message: newest.subject.clone(),
            author: newest.author.clone(),
            committer: newest.committer.clone(),
            subscription_name: found.subscription_name.clone(),
        });
    }
    for found in &artifacts.images {
        let url = &found.repo_url;
        let newest = found
            .references
            .first()
            .ok_or_else(|| format!("no images discovered for repository {url:?}"))?;
        freight.images.push(Image {
            repo_url: url.clone(),
            tag: newest.tag.clone(),
            digest: newest.digest.clone(),
            annotations: newest.annotations.clone(),
            subscription_name: found.subscription_name.clone(),
        });
    }
    for found in &artifacts.charts {
        let (url, name) = (&found.repo_url, &found.name);
        let newest = found.versions.first().ok_or_else(|| {
            format!("no versions discovered for chart {name:?} from repository {url:?}")
        })?;
        freight.charts.push(Chart {
            repo_url: url.clone(),
            name: name.clone(),
            version: newest.clone(),
            subscription_name: found.subscription_name.clone(),
        });
    }
    for found in &artifacts.results {
        let newest =
            found.artifact_references.first().ok_or("no versions discovered for subscription")?;
        freight.artifacts.push(newest.clone());
    }
    freight.metadata.name = Some(api::freight_id(&freight));
    Ok(freight)
}

/// Moves the Freight's discovery behind that of all other Freight of its
/// Warehouse. Times have whole seconds, and of Freight of one second the newest
/// could not be told: a Stage might keep what it has.
pub fn discovered_last<'f>(freight: &mut Freight, others: impl Iterator<Item = &'f Freight>) {
    let newest = others
        .filter(|other| {
            other.metadata.namespace == freight.metadata.namespace && other.origin == freight.origin
        })
        .filter_map(Freight::effective_discovered_at)
        .max();
    let Some(newest) = newest.map(crate::clock::whole_seconds) else { return };
    if let Some(at) = &mut freight.discovered_at
        && at.0 <= newest
    {
        *at = Time(newest.saturating_add(jiff::SignedDuration::from_secs(1)).unwrap_or(newest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: &str = "2026-01-01T12:00:00.5Z";

    fn built(artifacts: serde_json::Value) -> Result<Freight, String> {
        let artifacts = serde_json::from_value(artifacts).expect("artifacts");
        build("ns", "my-warehouse", Some(&artifacts), NOW.parse().expect("a time"))
    }

    #[test]
    fn it_holds_the_newest_of_each() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = |name: &str| {
            json!({
                "repoURL": "public.ecr.aws/nginx/nginx", "subscriptionName": name,
                "references": [
                    {"tag": "1.26.1", "digest": digest, "annotations": {"k": "v"}},
                    {"tag": "1.26.0", "digest": "sha256:00"},
                ],
            })
        };
        let freight = built(json!({"images": [image("")]})).expect("Freight");
        // The IDs of the table in `warehouses` 9.4.
        assert_eq!(
            freight.metadata.name.as_deref(),
            Some("2877298dde165b7a26d1fda95adba5cafe178994")
        );
        assert_eq!(freight.origin.to_string(), "Warehouse/my-warehouse");
        assert_eq!(
            serde_json::to_value(&freight.images).ok(),
            Some(json!([{
                "repoURL": "public.ecr.aws/nginx/nginx", "tag": "1.26.1", "digest": digest,
                "annotations": {"k": "v"},
            }]))
        );
        assert_eq!(
            serde_json::to_value(&freight.discovered_at).ok(),
            Some(json!("2026-01-01T12:00:00Z"))
        );
        assert!(freight.alias.is_empty() && freight.metadata.owner_references.is_none());
        let named = built(json!({"images": [image("frontend")]})).expect("Freight");
        assert_eq!(
            named.metadata.name.as_deref(),
            Some("255f843c28425609241fd3d88b13046dcb6728d5")
        );
    }

    #[test]
    fn every_kind_is_assembled() {
        let freight = built(json!({
            "git": [{"repoURL": "https://g/r", "commits": [{
                "id": "1", "branch": "main", "subject": "s", "author": "a", "committer": "c",
            }], "subscriptionName": "src"}],
            "charts": [{"repoURL": "https://c", "name": "n", "versions": ["2", "1"]}],
            "results": [{"name": "g", "artifactReferences": [{"subscriptionName": "g", "version": "v2"}]}],
        }))
        .expect("Freight");
        assert_eq!(
            (freight.commits[0].message.as_str(), freight.commits[0].subscription_name.as_str()),
            ("s", "src")
        );
        assert_eq!(
            (freight.charts[0].version.as_str(), freight.artifacts[0].version.as_str()),
            ("2", "v2")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        for (artifacts, expected) in [
            (
                json!({"git": [{"repoURL": "https://g/r"}]}),
                "no commits discovered for repository \"https://g/r\"",
            ),
            (json!({"images": [{"repoURL": "i"}]}), "no images discovered for repository \"i\""),
            (
                json!({"charts": [{"repoURL": "https://c", "name": "n"}]}),
                "no versions discovered for chart \"n\" from repository \"https://c\"",
            ),
            (json!({"results": [{"name": "n"}]}), "no versions discovered for subscription"),
        ] {
            assert_eq!(built(artifacts).expect_err("refused"), expected);
        }
        let now = NOW.parse().expect("a time");
        assert_eq!(build("ns", "w", None, now).expect_err("refused"), "no artifacts discovered");
    }

    #[test]
    fn of_one_second_the_later_is_the_newer() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let of = |warehouse: &str, second: i64| Freight {
            origin: FreightOrigin::warehouse(warehouse),
            discovered_at: Some(Time(at(second))),
            ..Freight::default()
        };
        for (others, second) in [
            (vec![], 5),
            (vec![of("w", 4)], 5),
            (vec![of("w", 5), of("w", 3)], 6),
            (vec![of("w", 7)], 8),
            (vec![of("other", 7)], 5),
        ] {
            let mut freight = of("w", 5);
            discovered_last(&mut freight, others.iter());
            assert_eq!(freight.discovered_at, Some(Time(at(second))), "{others:?}");
        }
    }
}
