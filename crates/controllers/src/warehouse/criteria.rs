//! Whether Freight is made of these artifacts together: the Warehouse's
//! `freightCreationCriteria` (`warehouses` 9.2).

use std::sync::Arc;

use api::{
    DiscoveredArtifacts, FreightCreationCriteria, normalize_chart, normalize_git, normalize_image,
};
use expr::{Env, Field, Function, FunctionError, Program, Record, Value};
use jiff::tz::TimeZone;

/// Whether the criteria are met. Without an expression, or without Git, image
/// and chart results, they are.
///
/// # Errors
/// An expression that cannot be compiled or evaluated, or is no truth value.
pub fn are_met(
    criteria: Option<&FreightCreationCriteria>,
    artifacts: Option<&DiscoveredArtifacts>,
) -> Result<bool, String> {
    let expression = criteria.map_or("", |c| c.expression.trim());
    let Some(artifacts) = artifacts else { return Ok(true) };
    let nothing =
        artifacts.git.is_empty() && artifacts.images.is_empty() && artifacts.charts.is_empty();
    if expression.is_empty() || nothing {
        return Ok(true);
    }
    let program = Program::cached(expression)
        .map_err(|e| format!("error compiling expression: {}", e.render()))?;
    let result = program
        .run(&environment(artifacts))
        .map_err(|e| format!("error running expression: {}", e.render()))?;
    result.truth().ok_or_else(|| {
        format!(
            "failed to parse freight creation criteria expression result {:?} as bool: write an expression that is true or false",
            result.to_text()
        )
    })
}

/// The four look-ups, and nothing else.
fn environment(artifacts: &DiscoveredArtifacts) -> Env {
    let artifacts = Arc::new(artifacts.clone());
    let mut env = Env::nil();
    let found = Arc::clone(&artifacts);
    env.set_function(
        Function::new("commitFrom", move |args| {
            let url = normalize_git(one_text(args)?);
            Ok(commit(&found, &url))
        })
        .with_signature("commitFrom(repoURL)"),
    );
    let found = Arc::clone(&artifacts);
    env.set_function(
        Function::new("imageFrom", move |args| {
            let url = normalize_image(one_text(args)?);
            Ok(image(&found, &url))
        })
        .with_signature("imageFrom(repoURL)"),
    );
    let found = Arc::clone(&artifacts);
    env.set_function(
        Function::new("chartFrom", move |args| {
            let (url, name) = match args {
                [url] => (text(url, "first")?, ""),
                [url, name] => (text(url, "first")?, text(name, "second")?),
                _ => return Err(format!("expected 1-2 arguments, got {}", args.len()).into()),
            };
            Ok(chart(&found, &normalize_chart(url), name))
        })
        .with_signature("chartFrom(repoURL[, name])"),
    );
    env.set_function(
        Function::new("artifactFrom", move |args| Ok(artifact(&artifacts, one_text(args)?)))
            .with_signature("artifactFrom(name)"),
    );
    env
}

fn one_text(args: &[Value]) -> Result<&str, FunctionError> {
    match args {
        [value] => text(value, "first"),
        _ => Err(format!("expected 1 argument, got {}", args.len()).into()),
    }
}

fn text<'a>(value: &'a Value, which: &str) -> Result<&'a str, FunctionError> {
    value
        .as_str()
        .ok_or_else(|| format!("{which} argument must be string, got {}", value.type_name()).into())
}

fn commit(artifacts: &DiscoveredArtifacts, url: &str) -> Value {
    let found = artifacts.git.iter().find_map(|result| {
        let newest = result.commits.first()?;
        (normalize_git(&result.repo_url) == url).then_some(newest)
    });
    found.map_or(Value::Nil, |c| {
        record(
            "v1alpha1.DiscoveredCommit",
            vec![
                ("ID", "id", c.id.as_str().into()),
                ("Branch", "branch", c.branch.as_str().into()),
                ("Tag", "tag", c.tag.as_str().into()),
                ("Subject", "subject", c.subject.as_str().into()),
                ("Author", "author", c.author.as_str().into()),
                ("Committer", "committer", c.committer.as_str().into()),
                ("CreatorDate", "creatorDate", time(c.creator_date.as_ref())),
            ],
        )
    })
}

fn image(artifacts: &DiscoveredArtifacts, url: &str) -> Value {
    let found = artifacts.images.iter().find_map(|result| {
        let newest = result.references.first()?;
        (normalize_image(&result.repo_url) == url).then_some(newest)
    });
    found.map_or(Value::Nil, |i| {
        let mut annotations = expr::Map::of_strings();
        for (key, value) in &i.annotations {
            annotations.insert(key.as_str(), value.as_str());
        }
        record(
            "v1alpha1.DiscoveredImageReference",
            vec![
                ("Tag", "tag", i.tag.as_str().into()),
                ("Digest", "digest", i.digest.as_str().into()),
                ("Annotations", "annotations", annotations.into()),
                ("CreatedAt", "createdAt", time(i.created_at.as_ref())),
            ],
        )
    })
}

fn chart(artifacts: &DiscoveredArtifacts, url: &str, name: &str) -> Value {
    let found = artifacts.charts.iter().find_map(|result| {
        let newest = result.versions.first()?;
        let is_named = name.is_empty() || result.name == name;
        (is_named && normalize_chart(&result.repo_url) == url).then_some((result, newest))
    });
    found.map_or(Value::Nil, |(result, version)| {
        record(
            "v1alpha1.Chart",
            vec![
                ("RepoURL", "repoURL", url.into()),
                ("Name", "name", result.name.as_str().into()),
                ("Version", "version", version.as_str().into()),
                ("SubscriptionName", "subscriptionName", "".into()),
            ],
        )
    })
}

/// Of several results of that name the last counts.
fn artifact(artifacts: &DiscoveredArtifacts, name: &str) -> Value {
    let found = artifacts
        .results
        .iter()
        .rev()
        .filter(|result| result.name == name)
        .find_map(|result| result.artifact_references.first());
    found.map_or(Value::Nil, |a| {
        let metadata = a.metadata.clone().map_or(Value::Nil, Value::from_decoded_json);
        record(
            "v1alpha1.ArtifactReference",
            vec![
                ("ArtifactType", "artifactType", a.artifact_type.as_str().into()),
                ("SubscriptionName", "subscriptionName", a.subscription_name.as_str().into()),
                ("Version", "version", a.version.as_str().into()),
                ("Metadata", "metadata", metadata),
            ],
        )
    })
}

fn record(type_name: &'static str, fields: Vec<(&'static str, &'static str, Value)>) -> Value {
    let fields = fields.into_iter().map(|(name, json_name, value)| Field {
        name,
        json_name,
        omit_empty: true,
        value,
    });
    Record::new(type_name, fields.collect()).into()
}

fn time(at: Option<&api::Time>) -> Value {
    at.map_or(Value::Nil, |at| Value::Time(Arc::new(at.0.to_zoned(TimeZone::UTC))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn met(expression: &str, artifacts: serde_json::Value) -> Result<bool, String> {
        let criteria = FreightCreationCriteria { expression: expression.to_owned() };
        let artifacts: Option<DiscoveredArtifacts> =
            serde_json::from_value(artifacts).expect("artifacts");
        are_met(Some(&criteria), artifacts.as_ref())
    }

    fn commits(frontend: &str, backend: &str) -> serde_json::Value {
        let result = |url: &str, tag: &str| json!({"repoURL": url, "commits": [{"tag": tag}, {"tag": "old"}]});
        json!({"git": [
            result("https://site/repo/frontend.git", frontend),
            result("https://site/repo/backend", backend),
        ]})
    }

    #[test]
    fn the_cases() {
        let images = |a: &str, b: &str| {
            let result = |url: &str, tag: &str| json!({"repoURL": url, "references": [{"tag": tag, "digest": "sha256:0"}]});
            json!({"images": [result("site/a", a), result("site/b", b)]})
        };
        let charts = json!({"charts": [
            {"repoURL": "oci://h.x/r1", "versions": ["1.0.0"]},
            {"repoURL": "oci://h.x/r2", "versions": ["1.0.0"]},
            {"repoURL": "https://h.x", "name": "n1", "versions": ["3.0.0"]},
            {"repoURL": "https://h.x", "name": "n2", "versions": ["4.0.0"]},
        ]});
        let same_tags = "commitFrom('https://site/repo/frontend').Tag == commitFrom('https://site/repo/backend').Tag";
        let same_images = "imageFrom('site/a').Tag == imageFrom('site/b').Tag";
        let one_commit = commits("v1", "v1");
        for (id, expression, artifacts, expected) in [
            ("warehouses/9.2-1", " ", one_commit.clone(), true),
            ("warehouses/9.2-2", "any text at all", json!(null), true),
            ("no counted results", "any text", json!({"results": [{"name": "x"}]}), true),
            ("warehouses/9.2-4", same_tags, one_commit.clone(), true),
            ("warehouses/9.2-4", same_tags, commits("v1", "v2"), false),
            ("warehouses/9.2-5", same_images, images("1", "1"), true),
            ("warehouses/9.2-5", same_images, images("1", "2"), false),
            (
                "warehouses/9.2-6",
                "chartFrom('oci://h.x/r1').Version == chartFrom('oci://h.x/r2').Version",
                charts.clone(),
                true,
            ),
            (
                "warehouses/9.2-7",
                "chartFrom('https://h.x','n2').Version == '4.0.0'",
                charts.clone(),
                true,
            ),
            ("first of several", "chartFrom('https://h.x').Name == 'n1'", charts, true),
            ("not evaluated", "true || nope", one_commit.clone(), true),
            ("optional", "commitFrom('https://no/r')?.Tag == nil", one_commit.clone(), true),
            ("text that is a truth value", "'t'", one_commit, true),
        ] {
            assert_eq!(met(expression, artifacts), Ok(expected), "{id} {expression}");
        }
        assert_eq!(are_met(None, None), Ok(true));
    }

    #[test]
    fn what_fails() {
        for (id, expression, expected) in [
            ("warehouses/9.2-3", "invalid.expression", "error running expression: "),
            ("syntax", "1 +", "error compiling expression: "),
            ("nil", "commitFrom('https://no/r').Tag == ''", "error running expression: "),
            (
                "no truth value",
                "'maybe'",
                "failed to parse freight creation criteria expression result \"maybe\" as bool: ",
            ),
        ] {
            let error = met(expression, commits("v1", "v1")).expect_err(id);
            assert!(error.starts_with(expected), "{id}: {error}");
        }
    }
}
