//! Which revision each source of an Application must be seen at
//! (`steps-argocd` 3.4), and which update is for which source (3.6.1).

use serde::{Deserialize, Serialize};

use super::ancestry::Ancestry;
use super::application::Source;

/// An entry of `sources` in `argocd-update`'s config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceUpdate {
    /// The repository, as the Application's source names it.
    #[serde(rename = "repoURL")]
    pub repo_url: String,
    /// The chart, for a source in a chart repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub chart: String,
    /// The revision that the source must be seen synced to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub desired_revision: String,
    /// Whether the source's `targetRevision` is to become that revision.
    #[serde(default)]
    pub update_target_revision: bool,
    /// Changes to Kustomize's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kustomize: Option<KustomizeUpdate>,
    /// Changes to Helm's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm: Option<HelmUpdate>,
}

impl SourceUpdate {
    /// Desires the commit that a push made of the desired one: a `git-push`
    /// step that took in others' commits says in its output which commit
    /// (`commit`) took the place of which (`replaced`). The one that was
    /// replaced is at no server, so no Application can ever be at it.
    pub fn follow_pushes(&mut self, outputs: &serde_json::Map<String, serde_json::Value>) {
        if self.desired_revision.is_empty() {
            return;
        }
        let text = |output: &serde_json::Value, key: &str| {
            output.get(key).and_then(|v| v.as_str()).map(str::to_owned)
        };
        let made = outputs
            .values()
            .filter(|output| text(output, "replaced").as_ref() == Some(&self.desired_revision))
            .find_map(|output| text(output, "commit"));
        if let Some(made) = made {
            self.desired_revision = made;
        }
    }
}

/// Changes to Kustomize's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KustomizeUpdate {
    /// The image overrides; they replace all that were there.
    #[serde(default)]
    pub images: Vec<KustomizeImage>,
}

/// One image override.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KustomizeImage {
    /// The image as the manifests name it.
    #[serde(rename = "repoURL")]
    pub repo_url: String,
    /// The image to take in its place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub new_name: String,
    /// Its tag.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// Its digest, in the tag's place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

impl KustomizeImage {
    /// The override as Kustomize writes it.
    pub fn to_override(&self) -> String {
        let mut text = self.repo_url.clone();
        if !self.new_name.is_empty() {
            text = format!("{text}={}", self.new_name);
        }
        if self.digest.is_empty() {
            format!("{text}:{}", self.tag)
        } else {
            format!("{text}@{}", self.digest)
        }
    }
}

/// Changes to Helm's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelmUpdate {
    /// Values to set.
    pub images: Vec<HelmImage>,
}

/// One value to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelmImage {
    /// The value's path.
    pub key: String,
    /// The value.
    pub value: String,
}

impl SourceUpdate {
    /// Whether it is for this source. Charts are compared as written; git
    /// repositories by what they name, whatever their spelling.
    pub fn applies_to(&self, source: &Source) -> bool {
        if source.repo_url == self.repo_url && source.chart == self.chart {
            return true;
        }
        source.chart.is_empty()
            && self.chart.is_empty()
            && api::urls::normalize_git(&source.repo_url)
                == api::urls::normalize_git(&self.repo_url)
    }
}

/// The revision that each source must be seen at, empty where none is asked
/// for. No sources give no revisions.
pub fn desired_revisions(sources: &[Source], updates: &[SourceUpdate]) -> Vec<String> {
    sources
        .iter()
        .map(|source| {
            updates
                .iter()
                .find(|update| update.applies_to(source))
                .map(|update| update.desired_revision.clone())
                .unwrap_or_default()
        })
        .collect()
}

/// The first revision that was seen and neither is the desired one nor
/// contains it, as `(seen, desired)`. Compared by position; what was not seen,
/// or seen beyond the desired ones, does not count (`steps-argocd` 3.5.6 and
/// 3.5.9).
pub fn mismatch<'a>(
    seen: &[&'a str],
    desired: &'a [String],
    ancestry: &Ancestry,
) -> Option<(&'a str, &'a str)> {
    seen.iter()
        .zip(desired)
        .find(|(seen, desired)| !desired.is_empty() && !ancestry.contains(seen, desired))
        .map(|(seen, desired)| (*seen, desired.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(repo_url: &str, chart: &str) -> Source {
        Source { repo_url: repo_url.into(), chart: chart.into(), ..Source::default() }
    }

    fn update(repo_url: &str, chart: &str, revision: &str) -> SourceUpdate {
        SourceUpdate {
            repo_url: repo_url.into(),
            chart: chart.into(),
            desired_revision: revision.into(),
            ..SourceUpdate::default()
        }
    }

    #[test]
    fn each_source_gets_the_revision_of_the_first_update_for_it() {
        let sources = [
            source("", ""),
            source("https://example.com", "fake-chart"),
            source("https://example.com", "another-fake-chart"),
            source("https://github.com/universe/42", ""),
            source("https://github.com/another-universe/42", ""),
        ];
        let updates = [
            update("https://example.com", "another-fake-chart", "v2.0.0"),
            update("https://github.com/another-universe/42", "", "fake-commit"),
        ];
        // steps-argocd/12-2
        assert_eq!(desired_revisions(&sources, &updates), ["", "", "v2.0.0", "", "fake-commit"]);
        assert!(desired_revisions(&[], &updates).is_empty());
    }

    #[test]
    fn a_git_repository_is_the_same_however_it_is_spelled() {
        let sources = [source("https://example.com/Org/repo.git", "")];
        let updates = [update("https://example.com/org/repo", "", "abc")];
        assert_eq!(desired_revisions(&sources, &updates), ["abc"]);
        let sources = [source("https://example.com/Org/repo.git", "chart")];
        assert_eq!(desired_revisions(&sources, &updates), [""]);
    }

    #[test]
    fn a_rebased_commit_stands_for_the_one_that_was_pushed() {
        let outputs = serde_json::json!({
            "commit": {"commit": "ours"},
            "push": {"commit": "pushed", "replaced": "ours"},
            "task::push": {"commit": "other", "replaced": "another"},
        });
        let outputs = outputs.as_object().unwrap();
        for (written, meant) in
            [("ours", "pushed"), ("another", "other"), ("pushed", "pushed"), ("v1", "v1"), ("", "")]
        {
            let mut update = update("https://example.com/org/repo", "", written);
            update.follow_pushes(outputs);
            assert_eq!(update.desired_revision, meant);
        }
    }

    #[test]
    fn revisions_are_compared_by_position() {
        let desired = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let known = Ancestry::default();
        assert_eq!(mismatch(&["a", "b"], &desired(&["", "b"]), &known), None);
        assert_eq!(mismatch(&["a", "x"], &desired(&["a", "b"]), &known), Some(("x", "b")));
        assert_eq!(mismatch(&["a", "b", "c"], &desired(&["a"]), &known), None);
        assert_eq!(mismatch(&["a"], &desired(&["a", "b"]), &known), None);
        assert_eq!(mismatch(&[""], &desired(&["a", "b"]), &known), Some(("", "a")));
        known.note("x", "b", true);
        assert_eq!(mismatch(&["a", "x"], &desired(&["a", "b"]), &known), None);
    }
}
