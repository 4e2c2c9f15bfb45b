//! What a subscription costs: how many manifests it reads, as far as that
//! follows from its strategy and from the tags that there are (`warehouses` 12).

use api::{ImageSubscription, discovery_limit};
use sources::image::{Reason, TagReport};

/// More manifests than this are worth a word to the user. No subscription that
/// reads only what it keeps comes to more.
const HIGH: usize = 100;

/// What one subscription costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The repository.
    pub url: String,
    /// How many manifests the first discovery reads; later ones ask as often
    /// whether a tag moved.
    pub manifests: usize,
    /// Whether tags, once read, are not asked for again.
    pub by_tag: bool,
}

/// What a subscription to images costs, with the tags of `report`.
pub fn of(subscription: &ImageSubscription, report: &TagReport) -> Cost {
    let named =
        |dropped: &&sources::Dropped<Reason>| !matches!(dropped.reason, Reason::Platform(_));
    let dropped: usize = report.dropped.iter().filter(named).map(|d| d.count).sum();
    let other_platform: usize = report.dropped.iter().filter(|d| !named(d)).map(|d| d.count).sum();
    let kept = report.seen.saturating_sub(dropped);
    let limit = discovery_limit(subscription.discovery_limit);
    let manifests = match subscription.image_selection_strategy.as_str() {
        "Digest" => 1,
        "NewestBuild" => kept,
        _ => kept.min(limit.saturating_add(other_platform)),
    };
    Cost { url: subscription.repo_url.clone(), manifests, by_tag: subscription.cache_by_tag }
}

impl Cost {
    /// Whether the user should know.
    pub fn is_high(&self) -> bool {
        self.manifests > HIGH
    }

    /// What the user is told.
    pub fn words(&self) -> String {
        let Self { url, manifests, by_tag } = self;
        let later = match by_tag {
            true => "later ones list the tags only (cacheByTag)".to_owned(),
            false => format!(
                "later ones ask {manifests} times whether a tag moved; narrow the tags with \
                 allowTagsRegexes, or set cacheByTag if tags never move"
            ),
        };
        format!(
            "the subscription to {url:?} reads {manifests} manifests at its first discovery; {later}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cost(fields: serde_json::Value, seen: usize, dropped: usize, platform: usize) -> Cost {
        let mut image = json!({"repoURL": "ghcr.io/a/b"});
        image.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let image: ImageSubscription = serde_json::from_value(image).unwrap();
        let mut report = TagReport { seen, ..TagReport::default() };
        for _ in 0..dropped {
            report.drop(Reason::Ignored, || "x".into());
        }
        for _ in 0..platform {
            report.drop(Reason::Platform("linux/s390x".into()), || "1".into());
        }
        of(&image, &report)
    }

    #[test]
    fn what_is_read() {
        for (name, fields, seen, dropped, platform, expected) in [
            ("as many as are kept", json!({}), 5000, 10, 0, 20),
            ("fewer tags", json!({}), 12, 10, 0, 2),
            ("own limit", json!({"discoveryLimit": 5}), 100, 0, 0, 5),
            ("those of other platforms too", json!({}), 100, 0, 30, 50),
            ("all", json!({"imageSelectionStrategy": "NewestBuild"}), 1000, 100, 0, 900),
            ("one", json!({"imageSelectionStrategy": "Digest"}), 1000, 0, 0, 1),
        ] {
            assert_eq!(cost(fields, seen, dropped, platform).manifests, expected, "{name}");
        }
        let newest = cost(json!({"imageSelectionStrategy": "NewestBuild"}), 500, 0, 0);
        assert!(newest.is_high());
        assert_eq!(
            newest.words(),
            "the subscription to \"ghcr.io/a/b\" reads 500 manifests at its first discovery; \
             later ones ask 500 times whether a tag moved; narrow the tags with \
             allowTagsRegexes, or set cacheByTag if tags never move"
        );
        assert!(!cost(json!({"discoveryLimit": 100}), 5000, 0, 0).is_high());
    }
}
