//! What an Application's sources are to become (`steps-argocd` 3.6).

use super::application::{HelmParameter, Source};
use super::revisions::{SourceUpdate, desired_revisions};

/// An update for which the Application has no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no source of {app} matched update for source with repoURL {repo_url}{}", and_chart(.chart))]
pub struct NoSource {
    /// How messages name the Application.
    pub app: String,
    /// As the update has it.
    pub repo_url: String,
    /// As the update has it, may be empty.
    pub chart: String,
}

fn and_chart(chart: &str) -> String {
    if chart.is_empty() { String::new() } else { format!(" and chart {chart:?}") }
}

/// The sources after all updates; each update changes the first source that it
/// is for. `app` is how messages name the Application.
///
/// # Errors
/// An update that is for no source.
pub fn desired_sources(
    app: &str,
    sources: &[Source],
    updates: &[SourceUpdate],
) -> Result<Vec<Source>, NoSource> {
    let revisions = desired_revisions(sources, updates);
    let mut changed = sources.to_vec();
    for update in updates {
        let found = changed.iter_mut().zip(&revisions).find(|(s, _)| update.applies_to(s));
        let Some((source, revision)) = found else {
            return Err(NoSource {
                app: app.to_owned(),
                repo_url: update.repo_url.clone(),
                chart: update.chart.clone(),
            });
        };
        apply(update, source, revision);
    }
    Ok(changed)
}

fn apply(update: &SourceUpdate, source: &mut Source, revision: &str) {
    if update.update_target_revision && !revision.is_empty() {
        revision.clone_into(&mut source.target_revision);
    }
    if let Some(kustomize) = &update.kustomize {
        source.kustomize.get_or_insert_default().images =
            kustomize.images.iter().map(|image| image.to_override()).collect();
    }
    if let Some(helm) = &update.helm {
        let parameters = &mut source.helm.get_or_insert_default().parameters;
        for image in &helm.images {
            match parameters.iter_mut().find(|p| p.name == image.key) {
                Some(parameter) => parameter.value = Some(image.value.clone()),
                None => parameters.push(HelmParameter {
                    name: image.key.clone(),
                    value: Some(image.value.clone()),
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::argocd::revisions::KustomizeImage;

    fn change(sources: Value, updates: Value) -> Result<Value, String> {
        let sources: Vec<Source> = serde_json::from_value(sources).unwrap();
        let updates: Vec<SourceUpdate> = serde_json::from_value(updates).unwrap();
        desired_sources("App", &sources, &updates)
            .map(|s| serde_json::to_value(s).unwrap())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn images_are_written_as_kustomize_does() {
        // (case, image, text)
        let cases = [
            ("steps-argocd/3.6-1", json!({"repoURL": "a", "digest": "d"}), "a@d"),
            ("steps-argocd/3.6-2", json!({"repoURL": "a", "tag": "t"}), "a:t"),
            ("steps-argocd/3.6-3", json!({"repoURL": "a", "newName": "b", "tag": "t"}), "a=b:t"),
            ("steps-argocd/3.6-4", json!({"repoURL": "a", "newName": "b", "digest": "d"}), "a=b@d"),
            ("steps-argocd/3.6-5", json!({"repoURL": "a"}), "a:"),
        ];
        for (case, image, text) in cases {
            let image: KustomizeImage = serde_json::from_value(image).unwrap();
            assert_eq!(image.to_override(), text, "{case}");
        }
        let changed = change(
            json!([{"repoURL": "r", "kustomize": {"images": ["x:1", "y:1"]}}]),
            json!([{"repoURL": "r", "kustomize": {"images": [{"repoURL": "x", "tag": "2"}]}}]),
        );
        // steps-argocd/3.6-6
        assert_eq!(changed.unwrap(), json!([{"repoURL": "r", "kustomize": {"images": ["x:2"]}}]));
    }

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let git = json!([{"repoURL": "https://example.com/r", "targetRevision": "old"}]);
        // (sources, updates, result); steps-argocd/12-10
        let cases = [
            (
                git.clone(),
                json!([{"repoURL": "https://example.com/r", "desiredRevision": "new",
                        "updateTargetRevision": true}]),
                json!([{"repoURL": "https://example.com/r", "targetRevision": "new"}]),
            ),
            (
                git.clone(),
                json!([{"repoURL": "https://example.com/r.git", "desiredRevision": "new",
                        "updateTargetRevision": true}]),
                json!([{"repoURL": "https://example.com/r", "targetRevision": "new"}]),
            ),
            (
                git.clone(),
                json!([{"repoURL": "https://example.com/r", "desiredRevision": "new"}]),
                git.clone(),
            ),
            (
                json!([{"repoURL": "https://c", "chart": "c", "targetRevision": "1"},
                       {"repoURL": "https://c", "chart": "c", "targetRevision": "1"}]),
                json!([{"repoURL": "https://c", "chart": "c", "desiredRevision": "2",
                        "updateTargetRevision": true}]),
                json!([{"repoURL": "https://c", "chart": "c", "targetRevision": "2"},
                       {"repoURL": "https://c", "chart": "c", "targetRevision": "1"}]),
            ),
            (
                git.clone(),
                json!([{"repoURL": "https://example.com/r",
                        "kustomize": {"images": [{"repoURL": "i", "tag": "t"}]}}]),
                json!([{"repoURL": "https://example.com/r", "targetRevision": "old",
                        "kustomize": {"images": ["i:t"]}}]),
            ),
            (
                git.clone(),
                json!([{"repoURL": "https://example.com/r",
                        "helm": {"images": [{"key": "k", "value": "v"}, {"key": "k2", "value": ""}]}}]),
                json!([{"repoURL": "https://example.com/r", "targetRevision": "old",
                        "helm": {"parameters": [{"name": "k", "value": "v"}, {"name": "k2", "value": ""}]}}]),
            ),
            (
                json!([{"repoURL": "r", "helm": {"parameters": [
                    {"name": "a", "value": "1"}, {"name": "k", "value": "1"}, {"name": "k", "value": "1"}]}}]),
                json!([{"repoURL": "r", "helm": {"images": [{"key": "k", "value": "2"}]}}]),
                json!([{"repoURL": "r", "helm": {"parameters": [
                    {"name": "a", "value": "1"}, {"name": "k", "value": "2"}, {"name": "k", "value": "1"}]}}]),
            ),
        ];
        for (sources, updates, result) in cases {
            assert_eq!(change(sources, updates.clone()).unwrap(), result, "{updates}");
        }
        // steps-argocd/12-10: another repoURL leaves the source alone
        assert_eq!(
            change(git.clone(), json!([{"repoURL": "https://example.com/x"}])).unwrap_err(),
            "no source of App matched update for source with repoURL https://example.com/x"
        );
        assert_eq!(
            change(git, json!([{"repoURL": "https://c", "chart": "c"}])).unwrap_err(),
            "no source of App matched update for source with repoURL https://c and chart \"c\""
        );
    }
}
