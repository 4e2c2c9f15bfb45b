//! NewestFromBranch (`warehouses` 5.3, 5.4).

use super::super::discovery::shortened;
use super::*;
use crate::ErrorClass;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_commits_come_first() {
    // spec: warehouses/5.4-1
    let (s, ids) = Setup::with_commits(&["a", "b", "c", "d", "e"]).await;
    let found = s.discover(|s| s.discovery_limit = 3).await;
    assert_eq!(subjects(&found), ["commit 5", "commit 4", "commit 3"]);
    let newest = &found.result.commits[0];
    assert_eq!(newest.id, ids[4]);
    assert_eq!(newest.branch, "");
    assert_eq!(newest.author, "A U Thor <author@example.com>");
    assert_eq!(newest.committer, "C O Mitter <committer@example.com>");
    assert_eq!(newest.creator_date.as_ref().unwrap().0.to_string(), "2024-01-01T00:00:04Z");
    assert_eq!(found.result.repo_url, s.url());
    assert_eq!(found.result.observed_refs.unwrap().branch_head, ids[4]);
    assert_eq!(found.report.tally.seen, 3);
    // A branch that is named is repeated; 0 is 20.
    let found = s.discover(|s| s.branch = "main".into()).await;
    assert_eq!(found.result.commits.len(), 5);
    assert!(found.result.commits.iter().all(|c| c.branch == "main"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_leave_commits_out() {
    let (s, ids) =
        Setup::with_commits(&["x/1", "some-path/d", "some-path/c", "some-path/b", "a"]).await;
    // spec: warehouses/5.4-2
    let expression = format!("id != \"{}\"", ids[4]);
    let found = s.discover(|s| (s.expression_filter, s.discovery_limit) = (expression, 3)).await;
    assert_eq!(subjects(&found), ["commit 4", "commit 3", "commit 2"]);
    // spec: warehouses/5.4-3
    let found =
        s.discover(|s| (s.include_paths, s.discovery_limit) = (texts(&["some-path/"]), 3)).await;
    assert_eq!(subjects(&found), ["commit 4", "commit 3", "commit 2"]);
    assert_eq!(
        found.report.to_string(),
        format!(
            "4 commits seen: 1 touch no path that includePaths and excludePaths admit (for example {:?})",
            &ids[4][..12]
        )
    );
    // To the beginning of history, which touches all its files; nothing may be left.
    let found = s.discover(|s| s.include_paths = texts(&["glob:x/*"])).await;
    assert_eq!(subjects(&found), ["commit 1"]);
    let found = s.discover(|s| s.exclude_paths = texts(&["regex:."])).await;
    assert_eq!(subjects(&found), Vec::<&str>::new());
    assert_eq!(found.report.tally.seen, 5);
    // The committer's own hour.
    let found = s.discover(|s| s.expression_filter = "commitDate.Hour() == 16".into()).await;
    assert_eq!(found.result.commits.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_search_ends_at_since() {
    // spec: warehouses/5.4-4
    let (s, _) = Setup::with_commits(&["a", "b", "c", "d", "e"]).await;
    let found = s.discover(|s| s.since = "2024-01-01T00:00:02Z".into()).await;
    assert_eq!(subjects(&found), ["commit 5", "commit 4", "commit 3"]);
    assert!(found.report.to_string().contains("are older than since (2024-01-01T00:00:02Z)"));
    let found =
        s.discover(|s| (s.since, s.discovery_limit) = ("2024-01-01T00:00:02Z".into(), 2)).await;
    assert_eq!(subjects(&found), ["commit 5", "commit 4"]);
    // The unfiltered way needs no more than the newest commits.
    let mirror = std::fs::read_dir(s.dir.path().join("mirrors")).unwrap().flatten();
    let mirror = mirror.map(|e| e.path()).find(|p| p.is_dir()).unwrap();
    assert!(mirror.join("partial").exists());
    let said = s.error(|s| s.since = "yesterday".into()).await;
    assert!(
        said.contains("error building base selector: error parsing since \"yesterday\": "),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merges_are_compared_with_their_first_parent_only() {
    let (s, _) = Setup::with_commits(&["base"]).await;
    let script = "commit refs/heads/side\ncommitter C <c@x> 1704067300 +0000\ndata 4\nside\nfrom refs/heads/main^0\nM 100644 inline side/file\ndata 1\n1\ncommit refs/heads/main\ncommitter C <c@x> 1704067301 +0000\ndata 4\nmain\nfrom refs/heads/main^0\nM 100644 inline main/file\ndata 1\n1\ncommit refs/heads/main\ncommitter C <c@x> 1704067302 +0000\ndata 5\nmerge\nmerge refs/heads/side\nM 100644 inline side/file\ndata 1\n1\n";
    s.run(&["fast-import", "--quiet", "--date-format=raw"], script.as_bytes());
    let found = s.discover(|_| {}).await;
    assert_eq!(subjects(&found), ["merge", "main", "commit 1"]);
    let found = s.discover(|s| s.include_paths = texts(&["side"])).await;
    assert_eq!(subjects(&found), ["merge"]);
    let found = s.discover(|s| s.include_paths = texts(&["main"])).await;
    assert_eq!(subjects(&found), ["main"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_are_those_that_git_prints() {
    let (s, _) = Setup::with_commits(&["apps/caf\u{e9}.txt"]).await;
    let script = "commit refs/heads/main\ncommitter C <c@x> 1704067300 +0000\ndata 4\nmove\nfrom refs/heads/main^0\nR \"apps/caf\\303\\251.txt\" moved\n";
    s.run(&["fast-import", "--quiet", "--date-format=raw"], script.as_bytes());
    for (pattern, expected) in [
        (r#"regex:^"apps/caf\\303\\251\.txt"$"#, vec!["move", "commit 1"]),
        // In quotes it lies in no folder.
        ("apps", vec![]),
        ("moved", vec!["move"]),
    ] {
        let found = s.discover(|s| s.include_paths = texts(&[pattern])).await;
        assert_eq!(subjects(&found), expected, "{pattern}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_references_are_not_fetched_again() {
    let (s, ids) = Setup::with_commits(&["a", "b"]).await;
    let subscription = s.subscription(|s| s.include_paths = texts(&["a", "b", "c"]));
    let first = s.try_discover(&subscription, None).await.unwrap();
    assert_eq!((s.listings(), s.fetches()), (1, 1));
    // The commits are given again as they were, whatever they were.
    let mut previous = first.result.clone();
    previous.commits[0].subject = "as stored".into();
    // spec: warehouses/5.3-9
    previous.subscription_name = "named".into();
    let again = s.try_discover(&subscription, Some(&previous)).await.unwrap();
    assert_eq!(again.result, previous);
    assert!(again.report.unchanged);
    assert_eq!((s.listings(), s.fetches()), (2, 1));
    // Without a previous result the mirror still has it all.
    let again = s.try_discover(&subscription, None).await.unwrap();
    assert_eq!(again.result, first.result);
    assert_eq!((s.listings(), s.fetches()), (3, 1));
    // What moved is looked at again, on the connection that listed it.
    s.host.commit_file(REPO, "main", "c", "1", "new").await.unwrap();
    let moved = s.try_discover(&subscription, Some(&previous)).await.unwrap();
    assert_eq!(subjects(&moved), ["new", "commit 2", "commit 1"]);
    assert_eq!((s.listings(), s.fetches()), (4, 2));
    assert_eq!(moved.result.commits[2].id, ids[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_failed_is_no_reason_not_to_select() {
    // spec: warehouses/5.3-8
    let (s, ids) = Setup::with_commits(&["a"]).await;
    s.host.traffic().fail_next(1, 500, Some(GitService::Fetch));
    let found = s.discover(|_| {}).await;
    assert_eq!(found.result.commits[0].id, ids[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_name_the_repository_and_what_was_done() {
    let (s, _) = Setup::with_commits(&["a"]).await;
    let url = s.url();
    let prefix = format!(
        "error discovering commits from git repo {url:?}: error cloning git repo {url:?}: "
    );
    let said = s.error(|s| s.branch = "gone".into()).await;
    assert_eq!(
        said,
        format!(
            "{prefix}remote branch \"gone\" of repo {url} does not exist; it has the branches main"
        )
    );
    s.host.create_repository("team/empty", &[]).await.unwrap();
    let empty = s.host.repository_url("team/empty");
    let error =
        s.try_discover(&s.subscription(|s| s.repo_url.clone_from(&empty)), None).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    assert_eq!(
        error.to_string(),
        format!(
            "error discovering commits from git repo {empty:?}: error cloning git repo {empty:?}: repo {empty} has no default branch yet; push a first commit, or name the branch"
        )
    );
    // spec: warehouses/5.4-5
    let huge = "x".repeat(2 << 20);
    let script = format!(
        "commit refs/heads/main\ncommitter C <c@x> 1704067300 +0000\ndata {}\n{huge}\nfrom refs/heads/main^0\n",
        huge.len()
    );
    s.run(&["fast-import", "--quiet", "--date-format=raw"], script.as_bytes());
    let said = s.error(|_| {}).await;
    let begin = format!(
        "error discovering commits from git repo {url:?}: error selecting relevant commits from branch: error listing commits from git repo {url:?}: commit "
    );
    assert!(
        said.starts_with(&begin) && said.contains("bytes; no more than 1048576 are read"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_are_refused_in_order_and_in_the_words_of_the_reference() {
    let s = Setup::new().await;
    let begin = format!("error obtaining selector for commits from git repo {:?}: ", s.url());
    let branch = "error building base selector: ";
    let base = "error building tag based selector: error building base selector: ";
    let tag = "error building tag based selector: ";
    // Everything is wrong; one thing after the other is put right.
    let all_wrong = || {
        s.subscription(|s| {
            s.expression_filter = "(1 + 2".into();
            s.include_paths = texts(&["glob:["]);
            s.exclude_paths = texts(&["regex:["]);
            s.allow_tags_regexes = texts(&["a("]);
            s.allow_tags = "old".into();
            s.ignore_tags_regexes = texts(&["i("]);
            s.ignore_tags = texts(&["old"]);
            s.semver_constraint = "latest".into();
        })
    };
    type Cure = fn(&mut GitSubscription);
    let cures: [(&str, &str, Cure); 8] = [
        (base, "error compiling filter expression: ", |s| s.expression_filter.clear()),
        (base, "error parsing include path selectors: ", |s| s.include_paths.clear()),
        (base, "error parsing exclude path selectors: ", |s| s.exclude_paths.clear()),
        (tag, "error compiling regular expression \"a(\": ", |s| s.allow_tags_regexes.clear()),
        (
            tag,
            "AllowTags is deprecated and unsupported as of v1.11.0; use AllowTagsRegexes instead",
            |s| s.allow_tags.clear(),
        ),
        (tag, "error compiling regular expression \"i(\": ", |s| s.ignore_tags_regexes.clear()),
        (
            tag,
            "IgnoreTags is deprecated and unsupported as of v1.11.0; use IgnoreTagsRegexes instead",
            |s| s.ignore_tags.clear(),
        ),
        ("", "error parsing semver constraint \"latest\": ", |s| s.semver_constraint.clear()),
    ];
    for strategy in ["SemVer", "Lexical", "NewestTag", "NewestFromBranch", ""] {
        let mut subscription = all_wrong();
        subscription.commit_selection_strategy = strategy.into();
        for (n, (prefix, expected, cure)) in cures.iter().enumerate() {
            let found = super::super::Selector::new(&subscription);
            let tagged = !matches!(strategy, "" | "NewestFromBranch");
            let applies = n < 3 || (tagged && (n < 7 || strategy == "SemVer"));
            if applies {
                let prefix = if tagged { prefix } else { &branch };
                let said = found.unwrap_err().to_string();
                assert!(said.starts_with(&format!("{prefix}{expected}")), "{strategy} {n}: {said}");
                let said = s.try_discover(&subscription, None).await.unwrap_err().to_string();
                assert!(said.starts_with(&format!("{begin}{prefix}{expected}")), "{said}");
            } else {
                assert!(found.is_ok(), "{strategy} {n}");
            }
            cure(&mut subscription);
        }
        assert!(super::super::Selector::new(&subscription).is_ok());
    }
    let said = s.error(|s| s.commit_selection_strategy = "Oldest".into()).await;
    assert!(said.starts_with(&format!("{begin}error getting selector factory")), "{said}");
    assert_eq!(s.listings(), 0);
}

#[test]
fn receivers_ask_whether_a_push_counts() {
    let selector = |strategy: &str, branch: &str| {
        super::super::Selector::new(&GitSubscription {
            commit_selection_strategy: strategy.into(),
            branch: branch.into(),
            allow_tags_regexes: texts(&["^v"]),
            ..GitSubscription::default()
        })
        .unwrap()
    };
    for (strategy, branch, reference, expected) in [
        ("", "", "refs/heads/main", true),
        ("", "", "refs/heads/master", true),
        ("", "", "refs/heads/topic", false),
        ("", "topic", "refs/heads/topic", true),
        ("", "topic", "refs/heads/main", false),
        ("", "topic", "refs/tags/topic", false),
        ("Lexical", "", "refs/tags/v-any", true),
        ("Lexical", "", "refs/tags/any", false),
        ("Lexical", "", "refs/heads/v1", false),
        ("SemVer", "", "refs/tags/v1.2.3", true),
        ("SemVer", "", "refs/tags/v1.2", false),
        ("NewestTag", "", "refs/tags/v1", true),
    ] {
        assert_eq!(
            selector(strategy, branch).matches_ref(reference),
            expected,
            "{strategy} {branch} {reference}"
        );
    }
}

#[test]
fn long_subjects_are_shortened() {
    // spec: warehouses/5.4-6
    assert_eq!(shortened("this is a long string", 10), "this is...");
    assert_eq!(shortened("this is a long string", 21), "this is a long string");
    assert_eq!(shortened("aaaaa\u{263a}b", 9), "aaaaa\u{263a}b");
    assert_eq!(shortened("aaaa\u{263a}bc", 8), "aaaa\u{fffd}...");
}
