//! SemVer, Lexical and NewestTag (`warehouses` 5.5).

use super::*;
use crate::ErrorClass;

/// A repository with lightweight tags on one commit each.
async fn tagged(names: &[&str]) -> (Setup, Vec<String>) {
    let files: Vec<String> = (0..names.len()).map(|n| format!("file{n}")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let (s, ids) = Setup::with_commits(&files).await;
    for (name, id) in names.iter().zip(&ids) {
        s.run(&["tag", name, id], b"");
    }
    (s, ids)
}

fn strategy(name: &str) -> impl FnOnce(&mut GitSubscription) {
    let name = name.to_owned();
    move |s| s.commit_selection_strategy = name
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_taken_highest_first() {
    // spec: warehouses/5.5-1
    let (s, ids) = tagged(&["foo", "v1.2.3", "bar"]).await;
    let found = s.discover(strategy("SemVer")).await;
    assert_eq!(tags(&found), ["v1.2.3"]);
    let commit = &found.result.commits[0];
    assert_eq!((commit.id.as_str(), commit.branch.as_str()), (ids[1].as_str(), ""));
    assert_eq!(commit.subject, "commit 2");
    assert_eq!(commit.creator_date.as_ref().unwrap().0.to_string(), "2024-01-01T00:00:01Z");
    let observed = found.result.observed_refs.unwrap().tags;
    assert_eq!(observed.len(), 1);
    assert_eq!((observed[0].name.as_str(), observed[0].id.as_str()), ("v1.2.3", ids[1].as_str()));
    assert_eq!(
        found.report.to_string(),
        "3 tags seen: 2 are no semantic version (another commitSelectionStrategy takes such tags) (for example \"bar\")"
    );
    for (id, names, change, expected) in [
        (
            "warehouses/5.5-2",
            vec!["v1.0.0", "v2.0.0", "v3.0.0"],
            (|s| s.allow_tags_regexes = texts(&[r"^v?1\."])) as fn(&mut GitSubscription),
            vec!["v1.0.0"],
        ),
        (
            "warehouses/5.5-3",
            vec!["v1.0.0", "v1.1.0"],
            |s| s.ignore_tags_regexes = texts(&[r"^v1\.0\.0$"]),
            vec!["v1.1.0"],
        ),
        (
            "warehouses/5.5-4",
            vec!["v1.0.0", "v2.0.0"],
            |s| {
                s.allow_tags_regexes = texts(&["^v"]);
                s.ignore_tags_regexes = texts(&["^v1"]);
            },
            vec!["v2.0.0"],
        ),
        ("warehouses/5.5-5", vec!["v1.0", "v1.0.1"], |_| {}, vec!["v1.0.1"]),
        ("not strict", vec!["v1.0"], |s| s.strict_semvers = Some(false), vec!["v1.0"]),
        (
            "warehouses/5.5-6",
            vec!["v3.0.0", "v5.0.0", "v4.0.0", "v1.0.0", "v2.0.0"],
            |_| {},
            vec!["v5.0.0", "v4.0.0", "v3.0.0", "v2.0.0", "v1.0.0"],
        ),
        (
            "warehouses/5.5-7",
            vec!["v3.0.0", "v5.0.0", "v4.0.0", "v1.0.0", "v2.0.0"],
            |s| s.discovery_limit = 3,
            vec!["v5.0.0", "v4.0.0", "v3.0.0"],
        ),
        (
            "a constraint",
            vec!["v1.9.0", "v2.0.0-rc.1", "v1.10.0"],
            |s| s.semver_constraint = "^1".into(),
            vec!["v1.10.0", "v1.9.0"],
        ),
    ] {
        let (s, _) = tagged(&names).await;
        let found = s
            .discover(|s| {
                strategy("SemVer")(s);
                change(s);
            })
            .await;
        assert_eq!(tags(&found), expected, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_times_give_other_orders() {
    let (s, ids) = tagged(&["b", "a", "c/d"]).await;
    // Made on 2024-01-02 at another offset, on the oldest commit.
    s.run(&["tag", "-a", "-m", "first line\n\nmore", "annotated", &ids[0]], b"");
    let found = s.discover(strategy("Lexical")).await;
    assert_eq!(tags(&found), ["c/d", "b", "annotated", "a"]);
    let found = s.discover(strategy("NewestTag")).await;
    assert_eq!(tags(&found), ["annotated", "c/d", "a", "b"]);
    let annotated = &found.result.commits[0];
    assert_eq!(annotated.id, ids[0]);
    assert_eq!(annotated.subject, "commit 1");
    assert_eq!(annotated.creator_date.as_ref().unwrap().0.to_string(), "2024-01-02T00:00:00Z");
    // The tag's own object is what is observed.
    let object = s.run(&["rev-parse", "refs/tags/annotated"], b"");
    assert_ne!(object, ids[0]);
    assert_eq!(found.result.observed_refs.unwrap().tags[1].id, object);
    let found = s
        .discover(|s| {
            strategy("Lexical")(s);
            s.expression_filter =
                "tagger == 'T Agger <tagger@example.com>' && annotation == 'first line' && creatorDate.Hour() == 1".into();
        })
        .await;
    assert_eq!(tags(&found), ["annotated"]);
    // Of the same time: by name, ascending.
    s.run(&["tag", "z", &ids[2]], b"");
    let found = s.discover(strategy("NewestTag")).await;
    assert_eq!(tags(&found), ["annotated", "c/d", "z", "a", "b"]);
    // As the default branch.
    s.run(&["tag", "main", &ids[2]], b"");
    let found = s.discover(strategy("Lexical")).await;
    assert_eq!(tags(&found)[1], "tags/main");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_annotation_may_hold_anything() {
    // spec: warehouses/5.5-9
    let (s, ids) = tagged(&["plain"]).await;
    s.run(&["tag", "-a", "-m", "a|*|b\tc", "odd", &ids[0]], b"");
    let found = s
        .discover(|s| {
            strategy("NewestTag")(s);
            s.expression_filter = r#"annotation == "a|*|b\tc""#.into();
        })
        .await;
    assert_eq!(tags(&found), ["odd"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_lacks_its_fields_is_an_error() {
    // spec: warehouses/5.5-8
    let (s, ids) = tagged(&["plain"]).await;
    let (url, host) = (s.url(), s.host.url().replace("http://", ""));
    let reference = s.host.root().join(format!("{REPO}.git/refs/tags/half"));
    let broken_off = format!("{host} could not be reached or broke off while fetching");
    let malformed = format!("repo {url} has a malformed object: ");
    for (object, class, cause) in [
        // Git itself cannot serve the one, and serves the other as it is.
        (format!("object {}\n", ids[0]), ErrorClass::Transient, &broken_off),
        (
            format!("object {}\ntype commit\ntag half\ntagger nobody\n\nm\n", ids[0]),
            ErrorClass::Config,
            &malformed,
        ),
    ] {
        let arguments = ["hash-object", "-t", "tag", "-w", "--stdin", "--literally"];
        std::fs::write(&reference, s.run(&arguments, object.as_bytes())).unwrap();
        for name in ["Lexical", "NewestTag"] {
            let subscription = s.subscription(strategy(name));
            let error = s.try_discover(&subscription, None).await.unwrap_err();
            let said = error.to_string();
            let begin = format!("error discovering commits from git repo {url:?}: ");
            assert!(said.starts_with(&begin) && said.contains(cause), "{name}: {said}");
            assert_eq!(error.class(), class, "{name}: {said}");
        }
        // Whoever leaves it out is not troubled by it, nor is anybody once it
        // is gone.
        let without = |s: &mut GitSubscription| {
            strategy("Lexical")(s);
            s.ignore_tags_regexes = texts(&["^half$"]);
        };
        assert_eq!(tags(&s.discover(without).await), ["plain"]);
        std::fs::remove_file(&reference).unwrap();
        assert_eq!(tags(&s.discover(strategy("Lexical")).await), ["plain"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_filtered_by_what_their_own_commit_touches() {
    let (s, _) = tagged(&["v1.0.0", "v2.0.0", "v3.0.0"]).await;
    let semver = |paths: &'static str, limit: i64| {
        move |s: &mut GitSubscription| {
            strategy("SemVer")(s);
            s.include_paths = texts(&[paths]);
            s.discovery_limit = limit;
        }
    };
    let found = s.discover(semver("file1", 20)).await;
    assert_eq!(tags(&found), ["v2.0.0"]);
    let found = s.discover(semver("regex:file[01]", 1)).await;
    assert_eq!(tags(&found), ["v2.0.0"]);
    assert!(found.report.to_string().contains("1 touch no path"), "{}", found.report);
    let found = s.discover(semver("nothing", 20)).await;
    assert_eq!(tags(&found), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_tags_do_not_stop_the_others() {
    let (s, ids) = tagged(&["v1"]).await;
    let blob = s.run(&["hash-object", "-w", "--stdin"], b"a key");
    s.run(&["tag", "light-blob", &blob], b"");
    s.run(&["tag", "-a", "-m", "a key", "blob", &blob], b"");
    s.run(&["tag", "-a", "-m", "inner", "inner", &ids[0]], b"");
    s.run(&["tag", "-a", "-m", "outer", "outer", "inner"], b"");
    let found = s.discover(strategy("Lexical")).await;
    assert_eq!(tags(&found), ["v1", "outer", "inner", "blob"]);
    assert_eq!(found.result.commits[1].id, ids[0]);
    assert_eq!(found.result.commits[3].id, blob);
    assert_eq!(found.result.commits[3].author, " ");
    assert!(
        found
            .report
            .to_string()
            .contains("1 name no commit and have no date (for example \"light-blob\")"),
        "{}",
        found.report
    );
    // No tags, and no commits.
    s.host.create_repository("team/empty", &[]).await.unwrap();
    let found = s
        .discover(|sub| {
            strategy("Lexical")(sub);
            sub.repo_url = s.host.repository_url("team/empty");
        })
        .await;
    assert!(found.result.commits.is_empty());
    assert_eq!(found.report.to_string(), "the repository has no tags");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expressions_that_fail_of_a_tag_fail() {
    let (s, _) = tagged(&["v1.0.0"]).await;
    let url = s.url();
    for (expression, expected) in [
        ("'invalid'", "error filtering tags by expression: error parsing expression result: "),
        (
            "nope.Year() > 1",
            "error filtering tags by expression: error evaluating tag filter expression: ",
        ),
    ] {
        let said = s
            .error(|s| {
                strategy("SemVer")(s);
                s.expression_filter = expression.into();
            })
            .await;
        let begin = format!("error discovering commits from git repo {url:?}: {expected}");
        assert!(said.starts_with(&begin), "{said}");
    }
}

/// The tags that the one mirror has.
fn mirrored_tags(s: &Setup) -> Vec<String> {
    let mut mirrors = std::fs::read_dir(s.dir.path().join("mirrors")).unwrap().flatten();
    let mirror = mirrors.find(|e| e.path().is_dir()).unwrap().path();
    let tags = std::fs::read_dir(mirror.join("refs/tags")).unwrap().flatten();
    tags.map(|e| e.file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_tags_that_are_read_are_fetched() {
    let (s, ids) = tagged(&["v1.0.0", "v2.0.0", "v3.0.0"]).await;
    let subscription = s.subscription(|s| {
        strategy("SemVer")(s);
        s.discovery_limit = 1;
    });
    let found = s.try_discover(&subscription, None).await.unwrap();
    assert_eq!(found.result.commits[0].id, ids[2]);
    assert_eq!(mirrored_tags(&s), ["v3.0.0"]);
    // A tag that was put elsewhere is found, a new one, too.
    s.run(&["tag", "-f", "v3.0.0", &ids[0]], b"");
    let moved = s.try_discover(&subscription, Some(&found.result)).await.unwrap();
    assert_eq!(moved.result.commits[0].id, ids[0]);
    s.run(&["tag", "v4.0.0", &ids[1]], b"");
    let added = s.try_discover(&subscription, Some(&moved.result)).await.unwrap();
    assert_eq!(tags(&added), ["v4.0.0"]);
    // A tag that does not count changes nothing.
    let before = s.fetches();
    s.run(&["tag", "other", &ids[1]], b"");
    let same = s.try_discover(&subscription, Some(&added.result)).await.unwrap();
    assert!(same.report.unchanged);
    assert_eq!(s.fetches(), before);
}
