//! Rules that hold for all inputs: forms that stay as they are once reached,
//! what is written reads back, and no input brings anything down.

use api::{
    Chart, FreightCollection, FreightOrigin, FreightReference, GitCommit, GoDuration, Image,
    Subscription, hashed_text, labels, names, normalize_chart, normalize_git, normalize_image,
    policy,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

/// Texts that look like addresses of repositories, more or less.
fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,5}(://)?([a-z0-9]{1,4}@)?[a-zA-Z0-9.-]{0,12}(:[0-9a-z]{0,4})?[/a-zA-Z0-9._%?# -]{0,16}",
        ".*",
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let key =
            prop_oneof!["name", "git", "image", "chart", "repoURL", "discoveryLimit", "[a-z]{1,3}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_duration_reads_back(nanoseconds in any::<i64>()) {
        let duration = GoDuration::from_nanos(nanoseconds);
        prop_assert_eq!(duration.to_string().parse(), Ok(duration));
    }

    #[test]
    fn no_text_brings_a_reader_down(text in ".*") {
        let _ = text.parse::<GoDuration>();
        let _ = text.parse::<FreightOrigin>();
        let _ = policy::name_fits(&text, "stage");
        let _ = api::AbortRequest::parse(&text);
        let shortened = labels::shorten(&text);
        prop_assert!(shortened.len() <= 63);
        prop_assert!(text.len() > 63 || shortened == text);
        let name = names::promotion(&text, &text, Timestamp::UNIX_EPOCH);
        prop_assert!(name.len() <= 300, "{}", name);
    }

    #[test]
    fn an_address_in_its_one_form_stays(text in address()) {
        let _ = normalize_chart(&text);
        let image = normalize_image(&text);
        prop_assert!(!image.contains('@') || image == text);
        let git = normalize_git(&text);
        // Each pass takes one `/` and one `.git`; what has several changes again,
        // and so does what is escaped, for lower case comes first. A scheme
        // alone reads as a host.
        let path = git.split(['?', '#']).next().unwrap_or_default();
        let is_whole = git.contains("//") && !git.contains('%');
        if git != text && is_whole && !path.ends_with('/') && !path.ends_with(".git") {
            prop_assert_eq!(normalize_git(&git), git);
        }
    }

    #[test]
    fn the_order_of_artifacts_does_not_matter(
        mut urls in prop::collection::vec(address(), 0..5), rotate in 0usize..5
    ) {
        let text = |urls: &[String]| {
            let commits: Vec<GitCommit> = urls
                .iter()
                .map(|u| GitCommit { repo_url: u.clone(), ..Default::default() })
                .collect();
            let images: Vec<Image> =
                urls.iter().map(|u| Image { repo_url: u.clone(), ..Default::default() }).collect();
            let charts: Vec<Chart> =
                urls.iter().map(|u| Chart { repo_url: u.clone(), ..Default::default() }).collect();
            hashed_text(&FreightOrigin::warehouse("w"), &commits, &images, &charts, &[])
        };
        let before = text(&urls);
        let middle = rotate.min(urls.len());
        urls.rotate_left(middle);
        prop_assert_eq!(text(&urls), before);
    }

    #[test]
    fn any_json_is_a_subscription_or_is_not(item in json()) {
        if let Ok(subscription) = Subscription::decode(0, &item) {
            prop_assert_eq!(Subscription::decode(0, &subscription.encode()), Ok(subscription));
        }
        let rules = api::admission::WarehouseRules {
            is_constraint: &|_| true,
            cache_by_tag_required: false,
        };
        let mut items = [item];
        let _ = api::admission::default_subscriptions(&mut items);
        let _ = api::admission::validate_subscriptions(&items, rules);
    }

    #[test]
    fn defaults_are_given_once(item in json()) {
        let mut items = vec![item];
        if api::admission::default_subscriptions(&mut items).is_ok() {
            let once = items.clone();
            prop_assert!(api::admission::default_subscriptions(&mut items).is_ok());
            prop_assert_eq!(items, once);
        }
    }

    #[test]
    fn a_collection_s_id_does_not_depend_on_the_order(names in prop::collection::vec("[a-f0-9]{4}", 0..5)) {
        let references: Vec<FreightReference> = names
            .iter()
            .enumerate()
            .map(|(i, name)| FreightReference {
                name: name.clone(),
                origin: FreightOrigin::warehouse(format!("w{i}")),
                ..Default::default()
            })
            .collect();
        let forward = FreightCollection::of(references.clone()).id;
        prop_assert_eq!(FreightCollection::of(references.into_iter().rev()).id, forward);
    }
}
