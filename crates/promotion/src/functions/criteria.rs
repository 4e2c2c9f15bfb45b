//! A Warehouse's Freight creation criteria (`expressions` 8.1): the functions
//! over what was discovered, and what the result means.

use std::sync::Arc;

use api::{Chart, DiscoveredArtifacts, DiscoveredCommit, DiscoveredImageReference};
use expr::{Env, Field, Function, Record, Value};
use jiff::tz::TimeZone;

use super::arguments::first_text;
use super::artifacts;

/// Whether Freight may be made of what was discovered.
///
/// # Errors
/// The expression is none, fails, or gives something that is no truth value.
///
/// ```
/// let found = api::DiscoveredArtifacts::default();
/// assert_eq!(promotion::functions::criteria::satisfied("false", &found), Ok(true));
/// ```
pub fn satisfied(expression: &str, discovered: &DiscoveredArtifacts) -> Result<bool, String> {
    let expression = expression.trim();
    let none =
        discovered.git.is_empty() && discovered.images.is_empty() && discovered.charts.is_empty();
    if expression.is_empty() || none {
        return Ok(true);
    }
    let program = expr::Program::cached(expression)
        .map_err(|e| format!("error compiling expression: {}", e.render()))?;
    let value = program
        .run(&environment(Arc::new(discovered.clone())))
        .map_err(|e| format!("error running expression: {}", e.render()))?;
    value.truth().ok_or_else(|| {
        format!(
            "failed to parse freight creation criteria expression result {:?}: it is neither true nor false",
            value.to_text()
        )
    })
}

fn environment(found: Arc<DiscoveredArtifacts>) -> Env {
    let mut env = Env::nil();
    let here = found.clone();
    env.set_function(
        Function::new("commitFrom", move |args| {
            let url = api::normalize_git(first_text(args)?);
            let result = here
                .git
                .iter()
                .find(|r| api::normalize_git(&r.repo_url) == url && !r.commits.is_empty());
            Ok(result.and_then(|r| r.commits.first()).map(commit).unwrap_or_default())
        })
        .with_arity(1..=1)
        .with_signature("commitFrom(repoURL)"),
    );
    let here = found.clone();
    env.set_function(
        Function::new("imageFrom", move |args| {
            let url = api::normalize_image(first_text(args)?);
            let result = here
                .images
                .iter()
                .find(|r| api::normalize_image(&r.repo_url) == url && !r.references.is_empty());
            Ok(result.and_then(|r| r.references.first()).map(image).unwrap_or_default())
        })
        .with_arity(1..=1)
        .with_signature("imageFrom(repoURL)"),
    );
    let here = found.clone();
    env.set_function(
        Function::new("chartFrom", move |args| {
            let url = api::normalize_chart(first_text(args)?);
            let name = match args.get(1) {
                None => "",
                Some(Value::String(name)) => name.as_ref(),
                Some(other) => {
                    let kind = other.go_type();
                    return Err(format!("second argument must be string, got {kind}").into());
                }
            };
            let result = here.charts.iter().find(|r| {
                api::normalize_chart(&r.repo_url) == url
                    && (name.is_empty() || r.name == name)
                    && !r.versions.is_empty()
            });
            Ok(result
                .and_then(|r| Some((r, r.versions.first()?)))
                .map(|(r, version)| {
                    artifacts::chart(&Chart {
                        repo_url: url.clone(),
                        name: r.name.clone(),
                        version: version.clone(),
                        subscription_name: r.subscription_name.clone(),
                    })
                })
                .unwrap_or_default())
        })
        .with_arity(1..=2)
        .with_signature("chartFrom(repoURL[, name])"),
    );
    env.set_function(
        Function::new("artifactFrom", move |args| {
            let name = first_text(args)?;
            let results = found.results.iter().filter(|r| r.name == name);
            let last = results.filter_map(|r| r.artifact_references.first()).next_back();
            Ok(last.map(artifacts::artifact).unwrap_or_default())
        })
        .with_arity(1..=1)
        .with_signature("artifactFrom(subscription)"),
    );
    env
}

fn field(name: &'static str, value: impl Into<Value>) -> Field {
    Field { name, json_name: name, omit_empty: true, value: value.into() }
}

type Time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A Kubernetes time: comparable, with the methods of a time and `.Time`.
fn time(time: Option<&Time>) -> Value {
    time.map_or(Value::Nil, |time| Value::from(time.0.to_zoned(TimeZone::UTC)))
}

fn commit(commit: &DiscoveredCommit) -> Value {
    Record::new(
        "v1alpha1.DiscoveredCommit",
        vec![
            field("ID", commit.id.as_str()),
            field("Branch", commit.branch.as_str()),
            field("Tag", commit.tag.as_str()),
            field("Subject", commit.subject.as_str()),
            field("Author", commit.author.as_str()),
            field("Committer", commit.committer.as_str()),
            field("CreatorDate", time(commit.creator_date.as_ref())),
        ],
    )
    .into()
}

fn image(image: &DiscoveredImageReference) -> Value {
    Record::new(
        "v1alpha1.DiscoveredImageReference",
        vec![
            field("Tag", image.tag.as_str()),
            field("Digest", image.digest.as_str()),
            field("Annotations", artifacts::annotations(&image.annotations)),
            field("CreatedAt", time(image.created_at.as_ref())),
        ],
    )
    .into()
}
