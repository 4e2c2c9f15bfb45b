//! Opening, finding and reading pull requests, at every provider.

use forge::{ErrorClass, ForgeError, Marker, NewPullRequest, Provider, PullRequest, Search, State};

use crate::fake::{CREATED, Fake, HEAD_SHA, Is, MERGE_SHA, PLAYED, Played};

pub fn new(labels: &[&str]) -> NewPullRequest {
    NewPullRequest {
        title: "Promote 1.2.0".into(),
        description: "Because \"it\" works\n".into(),
        marker: Some(Marker::new("uid-1.step-2")),
        head: "kargo/promotion/x".into(),
        base: "main".into(),
        labels: labels.iter().map(|l| (*l).to_owned()).collect(),
    }
}

fn page(played: &Played, number: i64) -> String {
    match played.name {
        "github" | "github enterprise" => format!("https://github.com/octo/deploy/pull/{number}"),
        "gitlab" => format!("https://gitlab.com/octo/group/deploy/-/merge_requests/{number}"),
        "gitea" => format!("https://gitea.example/octo/deploy/pulls/{number}"),
        "bitbucket cloud" => format!("https://bitbucket.org/octo/deploy/pull-requests/{number}"),
        "bitbucket data center" => {
            format!("https://bb.corp.example/ctx/projects/OCTO/repos/deploy/pull-requests/{number}")
        }
        _ => format!("https://dev.azure.com/octo/My%20Project/_git/Deploy/pullrequest/{number}"),
    }
}

#[tokio::test]
async fn a_pull_request_is_opened_as_asked() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        fake.model().labels = vec!["other".into(), "promotion".into(), "a b".into()];
        let forge = fake.forge();
        let wanted = new(&["promotion", "a b", "promotion"]);
        let pull = forge.create(&wanted).await.unwrap();
        forge.ensure_labels(pull.number, &wanted.labels).await.unwrap();
        forge.ensure_labels(pull.number, &wanted.labels).await.unwrap();
        fake.check();
        assert_eq!((pull.number, pull.state), (1, State::Open), "{}", played.name);
        assert_eq!(pull.url, page(&played, 1), "{}", played.name);
        assert_eq!((&*pull.head, &*pull.base), ("kargo/promotion/x", "main"), "{}", played.name);
        assert!(pull.is_at(HEAD_SHA), "{}", played.name);
        let model = fake.model();
        let made = model.pulls.first().unwrap();
        assert_eq!(made.title, "Promote 1.2.0", "{}", played.name);
        assert!(made.body.starts_with("Because \"it\" works\n"), "{}: {}", played.name, made.body);
        assert!(Marker::new("uid-1.step-2").is_in(&made.body), "{}: {}", played.name, made.body);
        let mut labels = made.labels.clone();
        labels.sort();
        labels.dedup();
        let expected: &[&str] = if played.labels { &["a b", "promotion"] } else { &[] };
        assert_eq!(labels, expected, "{}", played.name);
    }
}

#[tokio::test]
async fn a_second_one_between_the_same_branches_is_told_apart() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        let forge = fake.forge();
        forge.create(&new(&[])).await.unwrap();
        let error = forge.create(&new(&[])).await.unwrap_err();
        assert!(matches!(error, ForgeError::AlreadyExists { .. }), "{}: {error}", played.name);
        assert_eq!(error.class(), ErrorClass::Conflict, "{}", played.name);
        let other = NewPullRequest { base: "prod".into(), ..new(&[]) };
        assert_eq!(forge.create(&other).await.unwrap().number, 2, "{}", played.name);
        fake.check();
    }
}

#[tokio::test]
async fn labels_of_an_organisation_are_gitea_s_too() {
    let played = PLAYED.into_iter().find(|p| p.name == "gitea").unwrap();
    let fake = Fake::start(played).await;
    fake.model().labels = vec!["own".into()];
    fake.model().labels_of_owner = (0..60).map(|n| format!("of-all-{n}")).collect();
    fake.forge().create(&new(&["own", "of-all-59"])).await.unwrap();
    fake.check();
    assert_eq!(fake.model().pulls[0].labels, ["of-all-59", "own"]);
    // Who does not ask for them is not asked for the right to see them.
    fake.model().requests.clear();
    let others = NewPullRequest { head: "other".into(), ..new(&["own"]) };
    fake.forge().create(&others).await.unwrap();
    assert!(fake.model().requests.iter().all(|r| !r.path.contains("/orgs/")));
}

/// Gitea names the source of a pull request by its own reference once the
/// branch is gone.
#[tokio::test]
async fn a_branch_that_is_gone_is_known_at_gitea() {
    let played = PLAYED.into_iter().find(|p| p.name == "gitea").unwrap();
    let fake = Fake::start(played).await;
    fake.model().add("stage/prod", "main", Is::Merged).gone = true;
    let found = fake.forge().find(&Search::all("stage/prod", "main")).await.unwrap();
    fake.check();
    let heads: Vec<&str> = found.iter().map(|p| p.head.as_str()).collect();
    assert_eq!(heads, ["stage/prod"]);
}

#[tokio::test]
async fn labels_that_gitea_does_not_have_are_named() {
    let played = PLAYED.into_iter().find(|p| p.name == "gitea").unwrap();
    let fake = Fake::start(played).await;
    // More than one page of them.
    fake.model().labels = (0..120).map(|n| format!("label-{n}")).collect();
    let forge = fake.forge();
    let error = forge.create(&new(&["z", "label-119", "a", "a"])).await.unwrap_err();
    assert_eq!(error.to_string(), "labels not found in repository octo/deploy: a, z");
    assert_eq!(error.class(), ErrorClass::Config);
    forge.create(&new(&["label-119", "label-3"])).await.unwrap();
    fake.check();
    let labels = fake.model().pulls[0].labels.clone();
    assert_eq!(labels, ["label-119", "label-3"]);
}

#[tokio::test]
async fn long_texts_are_cut_to_what_providers_take() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        let long = NewPullRequest {
            title: "é".repeat(1000),
            description: "é".repeat(2_000_000),
            ..new(&[])
        };
        let forge = fake.forge();
        // One that takes a megabyte is asked to.
        if played.name != "gitlab" {
            forge.create(&long).await.unwrap();
            fake.check();
            let model = fake.model();
            assert!(model.pulls[0].title.chars().count() <= 255, "{}", played.name);
            assert!(Marker::new("uid-1.step-2").is_in(&model.pulls[0].body), "{}", played.name);
        }
    }
}

fn numbers(found: &[PullRequest]) -> Vec<i64> {
    let mut numbers: Vec<i64> = found.iter().map(|p| p.number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn pull_requests_are_found_by_their_branches() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        {
            let mut model = fake.model();
            model.add("stage/prod", "main", Is::Closed);
            model.add("stage/prod", "main", Is::Merged);
            model.add("stage/prod", "main", Is::Open);
            model.add("stage/prod", "release", Is::Open);
            model.add("stage/dev", "main", Is::Open);
            model.add("stage/prod", "main", Is::Open).fork = true;
        }
        let forge = fake.forge();
        let open = forge.find(&Search::open("stage/prod", "main")).await.unwrap();
        assert_eq!(numbers(&open), [3], "{}", played.name);
        let all = forge.find(&Search::all("stage/prod", "main")).await.unwrap();
        assert_eq!(numbers(&all), [1, 2, 3], "{}", played.name);
        let states: Vec<State> =
            [1, 2, 3].map(|n| all.iter().find(|p| p.number == n).unwrap().state).to_vec();
        assert_eq!(states, [State::Closed, State::Merged, State::Open], "{}", played.name);
        for nothing in ["a \"quoted\\name", "häh&?#+%20", ""] {
            let none = forge.find(&Search::all(nothing, "main")).await.unwrap();
            assert!(none.is_empty(), "{}: {nothing}", played.name);
        }
        fake.check();
    }
}

#[tokio::test]
async fn all_pages_are_looked_at_and_no_more_than_that() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        let mut bodies = "x".repeat(450);
        bodies.push_str("\n\n");
        bodies.push_str(&Marker::new("mine").line());
        {
            let mut model = fake.model();
            for _ in 0..230 {
                model.add("h", "b", Is::Closed);
            }
            // The oldest is the one that is wanted, and long.
            model.pulls[0].body = bodies;
        }
        let forge = fake.forge();
        let found = forge.find(&Search::all("h", "b")).await.unwrap();
        fake.check();
        assert_eq!(found.len(), 230, "{}", played.name);
        let mine: Vec<i64> =
            found.iter().filter(|p| Marker::new("mine").is_in(&p.body)).map(|p| p.number).collect();
        assert_eq!(mine, [1], "{}", played.name);
        // A list without end.
        {
            let mut model = fake.model();
            for _ in 0..3_000 {
                model.add("h", "b", Is::Closed);
            }
            model.requests.clear();
        }
        forge.find(&Search::all("h", "b")).await.unwrap();
        let asked = fake.model().requests.len();
        assert!(asked <= 20, "{}: {asked} requests", played.name);
    }
}

#[tokio::test]
async fn a_pull_request_is_read_as_it_stands() {
    for played in PLAYED {
        let fake = Fake::start(played).await;
        for is in [Is::Open, Is::Merged, Is::Closed] {
            fake.model().add("h", "b", is).body = "text".into();
        }
        let forge = fake.forge();
        let seen: Vec<PullRequest> = {
            let mut seen = Vec::new();
            for number in 1..=3 {
                seen.push(forge.get(number).await.unwrap());
            }
            seen
        };
        fake.check();
        let states: Vec<State> = seen.iter().map(|p| p.state).collect();
        assert_eq!(states, [State::Open, State::Merged, State::Closed], "{}", played.name);
        // A whole id, wherever it had to be had from.
        assert_eq!(seen[1].merge_commit.as_deref(), Some(MERGE_SHA), "{}", played.name);
        assert_eq!((seen[0].number, &*seen[0].body), (1, "text"), "{}", played.name);
        let created = seen[0].created_at.map(|t| t.as_second());
        let expected: jiff::Timestamp = CREATED.parse().unwrap();
        if played.name != "bitbucket data center" {
            assert_eq!(created, Some(expected.as_second()), "{}", played.name);
        }
        assert!(created.is_some(), "{}", played.name);
        let error = forge.get(99).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::NotFound, "{}: {error}", played.name);
    }
}

#[tokio::test]
async fn without_a_token_none_is_sent() {
    for played in PLAYED.into_iter().filter(|p| !p.name.starts_with("azure")) {
        let fake = Fake::anonymous(played).await;
        fake.model().add("h", "b", Is::Open);
        fake.forge().get(1).await.unwrap();
        fake.check();
    }
}

#[test]
fn what_cannot_be_opened_is_said_at_once() {
    use forge::{Forges, HttpForges, OpenRequest, Settings};
    let forges = HttpForges::new(Settings::default()).unwrap();
    for (url, provider, expected) in [
        (
            "https://github.com/a",
            None,
            "could not extract repository owner and name from URL \"https://github.com/a\"",
        ),
        (
            "https://gitea.lan/a/b/c",
            None,
            "could not extract repository owner and name from URL \"https://gitea.lan/a/b/c\"",
        ),
        ("https://u:canary@your.git/a/b", None, "no registered providers for https://your.git/a/b"),
        ("git@github.com:a/b.git", None, "no registered providers for github.com:a/b.git"),
        ("https://your.git/a/b", Some("svn"), "no registered providers with name \"svn\""),
        ("https://dev.azure.com/o/p/_git/r", None, "token is required for Azure DevOps provider"),
        ("https://your.git/a/b", Some("azure"), "unsupported host \"your.git\""),
    ] {
        let provider = provider.map(str::to_owned);
        let request = OpenRequest { url: url.into(), provider, ..OpenRequest::default() };
        let error = forges.open(&request).err().unwrap();
        assert!(error.to_string().starts_with(expected), "{url}: {error}");
        assert_eq!(error.class(), ErrorClass::Config);
    }
    for (url, provider, expected) in [
        ("git@github.com:a/b.git", Some("github"), Provider::GitHub),
        ("ssh://git@gitlab.lan:2222/g/h/p.git", None, Provider::GitLab),
        ("https://codeberg.org/a/b", None, Provider::Gitea),
    ] {
        let provider = provider.map(str::to_owned);
        let request = OpenRequest { url: url.into(), provider, ..OpenRequest::default() };
        assert_eq!(forges.open(&request).unwrap().provider(), expected, "{url}");
    }
}
