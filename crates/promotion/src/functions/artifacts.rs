//! `commitFrom`, `imageFrom`, `chartFrom`, `artifactFrom`: the artifact of the
//! Promotion's Freight (`expressions` 7.1).

use std::sync::Arc;

use api::{ArtifactReference, Chart, FreightOrigin, FreightReference, GitCommit, Image};
use expr::{Env, Field, Function, FunctionError, LookupCache, LookupKey, Record, Value};

use super::FunctionContext;
use super::arguments::{first_text, origin_at};
use super::lookups::SUBSCRIPTIONS;
use super::origin;

/// What is looked for.
struct Wanted<'a> {
    kind: &'static str,
    url: &'a str,
    name: &'a str,
    /// The text of an ambiguity, after `multiple requested Freight could
    /// potentially provide`.
    ambiguous: String,
}

impl Wanted<'_> {
    fn matches(&self, subscription: &Value) -> bool {
        let text = |name: &str| subscription.member(name).to_text();
        if text("kind") != self.kind {
            return false;
        }
        match self.kind {
            "git" => api::normalize_git(&text("url")) == self.url,
            "artifact" => text("name") == self.name,
            "chart" => text("url") == self.url && text("name") == self.name,
            _ => text("url") == self.url,
        }
    }
}

/// The functions' shared state.
#[derive(Clone)]
struct Finder {
    context: Arc<FunctionContext>,
    cache: LookupCache,
}

impl Finder {
    /// The origin that subscribes to what is wanted. All requested Freight is
    /// looked at, since a second match is an error.
    fn infer(&self, wanted: &Wanted<'_>) -> Result<Option<FreightOrigin>, FunctionError> {
        let mut found = None;
        for request in &self.context.freight_requests {
            let key = LookupKey::new(
                SUBSCRIPTIONS,
                [request.origin.name.as_str(), self.context.project.as_str()],
            );
            let subscriptions = self.cache.get(key)?;
            for subscription in subscriptions.as_array().unwrap_or_default() {
                if wanted.matches(subscription) {
                    if found.is_some() {
                        return Err(format!(
                            "multiple requested Freight could potentially provide {}",
                            wanted.ambiguous
                        )
                        .into());
                    }
                    found = Some(request.origin.clone());
                }
            }
        }
        Ok(found)
    }

    /// The first of the Freight's artifacts of an origin that fits.
    fn find<'a, T: 'a>(
        &'a self,
        origin: &FreightOrigin,
        artifacts: impl Fn(&'a FreightReference) -> &'a [T],
        fits: impl Fn(&T) -> bool,
    ) -> Option<&'a T> {
        let freight = self.context.freight.iter().filter(|f| f.origin == *origin);
        freight.flat_map(artifacts).find(|a| fits(a))
    }

    fn commit(&self, args: &[Value]) -> Result<Value, FunctionError> {
        let url = api::normalize_git(first_text(args)?);
        let wanted = Wanted {
            kind: "git",
            url: &url,
            name: "",
            ambiguous: format!(
                "a commit from repo {url}; please update promotion steps to disambiguate"
            ),
        };
        let origin = match origin_at(args, 1)? {
            Some(origin) => origin,
            None => match self.infer(&wanted)? {
                Some(origin) => origin,
                None => return Ok(Value::Nil),
            },
        };
        let found = self.find(&origin, |f| &f.commits, |c| api::normalize_git(&c.repo_url) == url);
        Ok(found.map(commit).unwrap_or_default())
    }

    fn image(&self, args: &[Value]) -> Result<Value, FunctionError> {
        let url = first_text(args)?;
        let wanted = Wanted {
            kind: "image",
            url,
            name: "",
            ambiguous: format!(
                "a container image from repository {url}: please provide a Freight origin to disambiguate"
            ),
        };
        let origin = match origin_at(args, 1)? {
            Some(origin) => origin,
            None => match self.infer(&wanted)? {
                Some(origin) => origin,
                None => return Ok(Value::Nil),
            },
        };
        let found = self.find(&origin, |f| &f.images, |i| i.repo_url == url);
        Ok(found.map(image).unwrap_or_default())
    }

    fn chart(&self, args: &[Value]) -> Result<Value, FunctionError> {
        let url = first_text(args)?;
        let (name, origin) = match args {
            [_] => ("", None),
            [_, Value::String(name)] => (name.as_ref(), None),
            [_, second] => match origin::read(second) {
                Some(origin) => ("", Some(origin)),
                None => {
                    return Err(format!(
                        "second argument must be string or FreightOrigin, got {}",
                        second.go_type()
                    )
                    .into());
                }
            },
            [_, Value::String(name), _] if !name.is_empty() => (name.as_ref(), origin_at(args, 2)?),
            [_, second, _] => {
                return Err(format!(
                    "when using three arguments, second argument must be string, got {}",
                    second.go_type()
                )
                .into());
            }
            _ => return Err(format!("expected 1-3 arguments, got {}", args.len()).into()),
        };
        let wanted = Wanted {
            kind: "chart",
            url,
            name,
            ambiguous: format!(
                "a chart from repository {url}: please provide a Freight origin to disambiguate"
            ),
        };
        let origin = match origin {
            Some(origin) => origin,
            None => self.infer(&wanted)?.ok_or_else(|| {
                if name.is_empty() {
                    format!("chart from repo {url} not found in referenced Freight")
                } else {
                    format!("chart {name:?} from repo {url} not found in referenced Freight")
                }
            })?,
        };
        let fits = |c: &Chart| c.repo_url == url && c.name == name;
        Ok(self.find(&origin, |f| &f.charts, fits).map(chart).unwrap_or_default())
    }

    fn artifact(&self, args: &[Value]) -> Result<Value, FunctionError> {
        let name = first_text(args)?;
        let wanted = Wanted {
            kind: "artifact",
            url: "",
            name,
            ambiguous: format!(
                "a {name:?} artifact; please update promotion steps to disambiguate"
            ),
        };
        let origin = match origin_at(args, 1)? {
            Some(origin) => origin,
            None => {
                let inferred = self.infer(&wanted).map_err(|error| match error {
                    FunctionError::Failed(why) => FunctionError::Failed(format!(
                        "error finding artifact from subscription {name}: {why}"
                    )),
                    other => other,
                })?;
                match inferred {
                    Some(origin) => origin,
                    None => return Ok(Value::Nil),
                }
            }
        };
        let found = self.find(&origin, |f| &f.artifacts, |a| a.subscription_name == name);
        Ok(found.map(artifact).unwrap_or_default())
    }
}

pub(super) fn install(env: &mut Env, cache: &LookupCache, context: Arc<FunctionContext>) {
    let finder = Finder { context, cache: cache.clone() };
    type Body = fn(&Finder, &[Value]) -> Result<Value, FunctionError>;
    let functions: [(&'static str, Body, usize, &str, &str); 4] = [
        (
            "commitFrom",
            Finder::commit,
            2,
            "commitFrom(repoURL[, origin])",
            "The Freight's commit of a Git repository, or nil; its fields are RepoURL, ID, Branch, Tag, Message, Author, Committer.",
        ),
        (
            "imageFrom",
            Finder::image,
            2,
            "imageFrom(repoURL[, origin])",
            "The Freight's image of a repository, or nil; its fields are RepoURL, Tag, Digest, Annotations.",
        ),
        (
            "chartFrom",
            Finder::chart,
            3,
            "chartFrom(repoURL[, name][, origin])",
            "The Freight's chart of a repository; its fields are RepoURL, Name, Version.",
        ),
        (
            "artifactFrom",
            Finder::artifact,
            2,
            "artifactFrom(subscription[, origin])",
            "The Freight's artifact of another kind of subscription, or nil; its fields are ArtifactType, SubscriptionName, Version, Metadata.",
        ),
    ];
    for (name, body, most, signature, doc) in functions {
        let finder = finder.clone();
        env.set_function(
            Function::new(name, move |args| body(&finder, args))
                .with_arity(1..=most)
                .with_signature(signature)
                .with_doc(doc),
        );
    }
}

fn field(name: &'static str, json_name: &'static str, value: impl Into<Value>) -> Field {
    Field { name, json_name, omit_empty: true, value: value.into() }
}

fn commit(commit: &GitCommit) -> Value {
    Record::new(
        "v1alpha1.GitCommit",
        vec![
            field("RepoURL", "repoURL", commit.repo_url.as_str()),
            field("ID", "id", commit.id.as_str()),
            field("Branch", "branch", commit.branch.as_str()),
            field("Tag", "tag", commit.tag.as_str()),
            field("Message", "message", commit.message.as_str()),
            field("Author", "author", commit.author.as_str()),
            field("Committer", "committer", commit.committer.as_str()),
            field("SubscriptionName", "subscriptionName", commit.subscription_name.as_str()),
        ],
    )
    .into()
}

/// Annotations as a map whose missing keys read as `""`.
fn annotations(map: &std::collections::BTreeMap<String, String>) -> Value {
    Value::string_map(map.iter().map(|(k, v)| (k.as_str(), v.as_str())))
}

fn image(image: &Image) -> Value {
    Record::new(
        "v1alpha1.Image",
        vec![
            field("RepoURL", "repoURL", image.repo_url.as_str()),
            field("Tag", "tag", image.tag.as_str()),
            field("Digest", "digest", image.digest.as_str()),
            field("Annotations", "annotations", annotations(&image.annotations)),
            field("SubscriptionName", "subscriptionName", image.subscription_name.as_str()),
        ],
    )
    .into()
}

fn chart(chart: &Chart) -> Value {
    Record::new(
        "v1alpha1.Chart",
        vec![
            field("RepoURL", "repoURL", chart.repo_url.as_str()),
            field("Name", "name", chart.name.as_str()),
            field("Version", "version", chart.version.as_str()),
            field("SubscriptionName", "subscriptionName", chart.subscription_name.as_str()),
        ],
    )
    .into()
}

fn artifact(artifact: &ArtifactReference) -> Value {
    let metadata = match &artifact.metadata {
        Some(json) if !json.is_null() => Value::from_decoded_json(json.clone()),
        _ => expr::Map::new().into(),
    };
    let field = |name: &'static str, value: Value| Field {
        name,
        json_name: name,
        omit_empty: false,
        value,
    };
    Record::new(
        "function.Artifact",
        vec![
            field("ArtifactType", artifact.artifact_type.as_str().into()),
            field("SubscriptionName", artifact.subscription_name.as_str().into()),
            field("Version", artifact.version.as_str().into()),
            field("Metadata", metadata),
        ],
    )
    .into()
}
