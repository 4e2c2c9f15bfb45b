//! Whether anything can have changed since the last look (`warehouses` 5.3):
//! the references that count, as they were listed.

use api::{GitDiscoveryResult, ObservedRefs, ObservedTag};

/// How many tags are kept in a status; of more none are.
const MAX_TAGS: usize = 1000;

/// What is observed of a branch.
pub(super) fn branch(head: Option<String>) -> Option<ObservedRefs> {
    Some(ObservedRefs { branch_head: head?, tags: Vec::new() })
}

/// What is observed of the tags that count; nothing where there are too many.
pub(super) fn tags(tags: impl Iterator<Item = (String, String)>) -> Option<ObservedRefs> {
    let mut tags: Vec<ObservedTag> =
        tags.take(MAX_TAGS + 1).map(|(name, id)| ObservedTag { name, id }).collect();
    if tags.len() > MAX_TAGS {
        return None;
    }
    tags.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Some(ObservedRefs { branch_head: String::new(), tags })
}

/// Whether the last result still holds: it is of the same repository, and what
/// was observed then is what is observed now.
pub(super) fn still_holds(
    previous: Option<&GitDiscoveryResult>,
    repo_url: &str,
    now: Option<&ObservedRefs>,
) -> bool {
    previous.is_some_and(|previous| {
        previous.repo_url == repo_url && now.is_some() && previous.observed_refs.as_ref() == now
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(url: &str, observed: Option<ObservedRefs>) -> GitDiscoveryResult {
        GitDiscoveryResult {
            repo_url: url.into(),
            observed_refs: observed,
            ..GitDiscoveryResult::default()
        }
    }

    #[test]
    fn a_result_holds_while_what_counts_is_the_same() {
        let head = |id: &str| branch(Some(id.into()));
        let tagged = |all: &[(&str, &str)]| {
            tags(all.iter().map(|(n, i)| ((*n).to_owned(), (*i).to_owned())))
        };
        let none = || branch(None);
        let some = |url: &str, observed| Some(result(url, observed));
        for (id, previous, now, expected) in [
            ("warehouses/5.3-1", some("u", none()), none(), false),
            ("warehouses/5.3-2", some("u", head("a")), none(), false),
            ("warehouses/5.3-2", some("u", none()), head("a"), false),
            ("warehouses/5.3-3", some("u", head("a")), head("a"), true),
            ("head moved", some("u", head("a")), head("b"), false),
            ("warehouses/5.3-4", some("u", tagged(&[("t", "1")])), tagged(&[("t", "2")]), false),
            (
                "warehouses/5.3-5",
                some("u", tagged(&[("t", "1")])),
                tagged(&[("t", "1"), ("s", "1")]),
                false,
            ),
            (
                "the order does not count",
                some("u", tagged(&[("t", "1"), ("s", "1")])),
                tagged(&[("s", "1"), ("t", "1")]),
                true,
            ),
            ("no tags, as before", some("u", tagged(&[])), tagged(&[]), true),
            ("warehouses/5.3-6", some("other", head("a")), head("a"), false),
            ("warehouses/5.3-7", None, head("a"), false),
        ] {
            assert_eq!(still_holds(previous.as_ref(), "u", now.as_ref()), expected, "{id}");
        }
    }

    #[test]
    fn more_tags_than_a_status_holds_are_not_observed() {
        let many = |n: usize| tags((0..n).map(|i| (format!("t{i}"), "1".to_owned())));
        assert_eq!(many(1000).unwrap().tags.len(), 1000);
        assert_eq!(many(1001), None);
    }
}
