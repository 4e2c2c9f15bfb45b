//! Which Warehouses a notice from outside concerns (`webhooks` 5): pure, for
//! whoever receives such notices.

use std::collections::BTreeSet;

use api::{Subscription, SubscriptionKind, normalize_chart, normalize_git, normalize_image};
use serde_json::Value;

use crate::error::Error;
use crate::{chart, git, image};

/// What a notice says happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// Where, in the one form of addresses ([`api::normalize_git`] and its like).
    pub urls: BTreeSet<String>,
    /// References (`refs/heads/main`), tags or versions that are new; none
    /// where the notice does not say.
    pub qualifiers: BTreeSet<String>,
    /// Files that changed; none where that is not known.
    pub changed_files: BTreeSet<String>,
}

impl Notice {
    /// A notice about these addresses. Empty texts do not count.
    pub fn new<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        qualifiers: impl IntoIterator<Item = &'a str>,
        changed_files: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        fn all<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
            texts.into_iter().filter(|t| !t.is_empty()).map(str::to_owned).collect()
        }
        Self { urls: all(urls), qualifiers: all(qualifiers), changed_files: all(changed_files) }
    }

    /// Whether a Warehouse with these subscriptions is to look again: one of
    /// them is to such an address and, where the notice has qualifiers, takes
    /// one of them. Subscriptions that cannot be read concern nothing.
    ///
    /// # Errors
    /// A subscription to such an address whose expressions or constraint cannot
    /// be understood.
    ///
    /// ```
    /// use sources::refresh::Notice;
    /// let subscriptions = [serde_json::json!({"image": {
    ///     "repoURL": "docker.io/example/app", "constraint": "^1",
    /// }})];
    /// let of = |tag| Notice::new(["example/app"], [tag], []).concerns(&subscriptions);
    /// assert!(of("1.2.3")?);
    /// assert!(!of("2.0.0")?);
    /// # Ok::<(), sources::Error>(())
    /// ```
    pub fn concerns(&self, subscriptions: &[Value]) -> Result<bool, Error> {
        let mut concerns = false;
        for (index, item) in subscriptions.iter().enumerate() {
            let Ok(subscription) = Subscription::decode(index, item) else { continue };
            // Every subscription is read, so that an error does not depend on
            // their order.
            concerns |= self.concerns_one(&subscription.kind)?;
        }
        Ok(concerns)
    }

    fn concerns_one(&self, subscription: &SubscriptionKind) -> Result<bool, Error> {
        let url = match subscription {
            SubscriptionKind::Git(s) => normalize_git(&s.repo_url),
            SubscriptionKind::Image(s) => normalize_image(&s.repo_url),
            SubscriptionKind::Chart(s) => normalize_chart(&s.repo_url),
            SubscriptionKind::Generic(..) => return Ok(false),
        };
        if !self.urls.contains(&url) {
            return Ok(false);
        }
        if self.qualifiers.is_empty() {
            return Ok(true);
        }
        let mut qualifiers = self.qualifiers.iter();
        match subscription {
            SubscriptionKind::Git(s) => {
                let selector = git::Selector::new(s)?;
                let files = &self.changed_files;
                Ok(qualifiers.any(|q| selector.matches_ref(q))
                    && (files.is_empty()
                        || selector.matches_paths(files.iter().map(String::as_str))))
            }
            SubscriptionKind::Image(s) => any(qualifiers, |q| image::matches_tag(s, q)),
            SubscriptionKind::Chart(s) => any(qualifiers, |q| chart::matches_version(s, q)),
            SubscriptionKind::Generic(..) => Ok(false),
        }
    }
}

fn any<'a>(
    mut qualifiers: impl Iterator<Item = &'a String>,
    fits: impl Fn(&str) -> Result<bool, Error>,
) -> Result<bool, Error> {
    qualifiers.try_fold(false, |found, q| Ok(found | fits(q)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const GIT: &str = "https://github.com/example/repo";

    fn concerns(subscription: &Value, urls: &[&str], qualifiers: &[&str], files: &[&str]) -> bool {
        let copied = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        let notice = Notice {
            urls: copied(urls),
            qualifiers: copied(qualifiers),
            changed_files: copied(files),
        };
        notice.concerns(std::slice::from_ref(subscription)).expect("it can be understood")
    }

    #[test]
    fn a_git_subscription_takes_references_and_paths() {
        let git = |fields: Value| {
            let mut git = json!({"repoURL": format!("{GIT}.git")});
            git.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json!({ "git": git })
        };
        let branch = || git(json!({"branch": "release"}));
        let paths = || git(json!({"includePaths": ["apps/foo"]}));
        let semver = || git(json!({"commitSelectionStrategy": "SemVer"}));
        for (name, subscription, qualifiers, files, expected) in [
            ("its branch", branch(), vec!["refs/heads/release"], vec![], true),
            ("another branch", branch(), vec!["refs/heads/main"], vec![], false),
            ("no branch is main", git(json!({})), vec!["refs/heads/main"], vec![], true),
            ("or master", git(json!({})), vec!["refs/heads/master"], vec![], true),
            ("a tag is no branch", git(json!({})), vec!["refs/tags/v1.0.0"], vec![], false),
            ("a version", semver(), vec!["refs/tags/v1.0.0"], vec![], true),
            ("no version", semver(), vec!["refs/tags/latest"], vec![], false),
            ("a file inside", paths(), vec!["refs/heads/main"], vec!["a", "apps/foo/x"], true),
            ("files outside", paths(), vec!["refs/heads/main"], vec!["apps/bar/x"], false),
            ("files unknown", paths(), vec!["refs/heads/main"], vec![], true),
            ("nothing said", paths(), vec![], vec!["apps/bar/x"], true),
        ] {
            assert_eq!(concerns(&subscription, &[GIT], &qualifiers, &files), expected, "{name}");
        }
        assert!(!concerns(&branch(), &["https://github.com/example/other"], &[], &[]));
    }

    #[test]
    fn images_take_tags_and_charts_versions() {
        let image = |fields: Value| {
            let mut image = json!({"repoURL": "docker.io/example/repo"});
            image.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json!({ "image": image })
        };
        let digest = || image(json!({"imageSelectionStrategy": "Digest", "constraint": "latest"}));
        let chart = |constraint: &str| json!({"chart": {"repoURL": "oci://ghcr.io/example/repo", "semverConstraint": constraint}});
        for (name, subscription, url, qualifiers, expected) in [
            ("in", image(json!({"constraint": "^1.0.0"})), "example/repo", vec!["v1.0.0"], true),
            ("out", image(json!({"constraint": "^2.0.0"})), "example/repo", vec!["v1.0.0"], false),
            ("one of two", image(json!({})), "example/repo", vec!["x", "1.0.0"], true),
            ("the tag", digest(), "example/repo", vec!["latest"], true),
            ("another tag", digest(), "example/repo", vec!["v1.0.0"], false),
            ("no tag said", digest(), "example/repo", vec![], true),
            ("a chart", chart("^1"), "ghcr.io/example/repo", vec!["v1.0"], true),
            ("another version", chart("^1"), "ghcr.io/example/repo", vec!["2.0.0"], false),
            ("elsewhere", chart("^1"), "ghcr.io/example/other", vec![], false),
            ("generic", json!({"name": "n", "s3": {}}), "s3", vec![], false),
            ("unreadable", json!({}), "example/repo", vec![], false),
        ] {
            assert_eq!(concerns(&subscription, &[url], &qualifiers, &[]), expected, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_an_error_whatever_its_place() {
        let good = json!({"image": {"repoURL": "example/repo"}});
        let bad =
            json!({"image": {"repoURL": "docker.io/example/repo", "allowTagsRegexes": ["("]}});
        let notice = Notice::new(["example/repo", ""], ["1.0.0"], []);
        assert_eq!(notice.urls.len(), 1);
        assert!(notice.concerns(&[good.clone(), bad.clone()]).is_err());
        assert!(notice.concerns(&[bad.clone(), good.clone()]).is_err());
        // Without qualifiers nothing needs to be understood.
        assert!(Notice::new(["example/repo"], [], []).concerns(std::slice::from_ref(&bad)).is_ok());
        assert!(!Notice::new(["example/other"], ["1"], []).concerns(&[bad]).unwrap_or(true));
    }
}
