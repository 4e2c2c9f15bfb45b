//! Discovery: list the references, fetch what is needed, select.

use std::sync::Arc;
use std::time::Duration;

use ::git::{Freshness, Git, Listing, Need, Reader, Remote, Snapshot};
use api::{DiscoveredCommit, GitDiscoveryResult, GitSubscription, ObservedRefs, Time};
use credentials::{Credential, Login};
use jiff::{Timestamp, Zoned};
use tokio_util::sync::CancellationToken;

use super::branch::{self, Candidate};
use super::expression::{CommitFacts, TagFacts};
use super::report::{CommitReport, Counted};
use super::selector::{Selector, Strategy};
use super::{observed, tags};
use crate::error::Error;

/// The longest subject that is kept, in bytes.
const MAX_SUBJECT: usize = 80;
/// Up to how many tags are fetched one by one; for more the whole repository
/// is.
const FEW_TAGS: usize = 100;

/// What discovery of commits is set to.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How old a listing of references may be. With zero, the default, they
    /// are listed after the question was asked; whoever asks while they are
    /// being listed shares the next listing.
    pub listing_age: Duration,
}

/// What a subscription found, and what became of the candidates.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// For the Warehouse's status. `subscriptionName` is the caller's to set.
    pub result: GitDiscoveryResult,
    /// What became of the commits or tags.
    pub report: CommitReport,
}

/// Discovers commits. One for the process: clones share the mirrors.
#[derive(Clone, Debug)]
pub struct Commits {
    git: Arc<Git>,
    settings: Settings,
}

/// What a look at the references led to.
struct Looked {
    observed: Option<ObservedRefs>,
    /// Absent where the last result still holds.
    snapshot: Option<Snapshot>,
}

impl Commits {
    /// Discovery from the mirrors of `git`, which promotions may share.
    pub fn new(git: Arc<Git>, settings: Settings) -> Self {
        Self { git, settings }
    }

    /// What the subscription finds now (`warehouses` 5). Nothing found is a
    /// result without commits, and the report says why.
    ///
    /// `previous` is the result of the last discovery with the same spec, if
    /// there is one: while the references that count are as they were then,
    /// its commits are given again and nothing is fetched.
    ///
    /// # Errors
    /// A subscription that cannot be understood; a host that refuses, does not
    /// answer or breaks off; a branch that is not there; in the words of
    /// `warehouses` 3 O4.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// let git = Arc::new(git::Git::open(git::GitOptions::new("/var/cache/mirrors"))?);
    /// let commits = sources::git::Commits::new(git, sources::git::Settings::default());
    /// let subscription = api::GitSubscription {
    ///     repo_url: "https://github.com/example/app.git".to_owned(),
    ///     include_paths: vec!["charts/app".to_owned()],
    ///     ..Default::default()
    /// };
    /// let cancel = tokio_util::sync::CancellationToken::new();
    /// let found = commits.discover(&subscription, None, None, &cancel).await?;
    /// println!("{:?}; {}", found.result.commits, found.report);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn discover(
        &self,
        subscription: &GitSubscription,
        credential: Option<&Credential>,
        previous: Option<&GitDiscoveryResult>,
        cancel: &CancellationToken,
    ) -> Result<Discovered, Error> {
        let url = &subscription.repo_url;
        let selector = Arc::new(Selector::new(subscription).map_err(|e| {
            e.within(format!("error obtaining selector for commits from git repo {url:?}: "))
        })?);
        let insecure = subscription.insecure_skip_tls_verify;
        let search = Search { commits: self, url, selector, previous, cancel };
        let found = async {
            let remote = self.git.remote(url, credential.map(auth), insecure)?;
            search.run(&remote).await
        };
        found
            .await
            .map_err(|e| e.within(format!("error discovering commits from git repo {url:?}: ")))
    }
}

/// What to present to the host.
fn auth(credential: &Credential) -> ::git::Auth {
    let source = credential.source.to_string();
    let identity = &credential.source.identity();
    match &credential.login {
        Login::Basic { username, password } => {
            ::git::Auth::basic(username, password.expose(), &source, identity)
        }
        Login::SshKey(key) => {
            let auth = ::git::Auth::ssh_key(key.private_key.expose(), &source, identity);
            match &key.known_hosts {
                Some(lines) => auth.with_known_hosts(lines),
                None => auth,
            }
        }
    }
}

/// One discovery.
struct Search<'a> {
    commits: &'a Commits,
    url: &'a str,
    selector: Arc<Selector>,
    previous: Option<&'a GitDiscoveryResult>,
    cancel: &'a CancellationToken,
}

impl Search<'_> {
    async fn run(&self, remote: &Remote) -> Result<Discovered, Error> {
        let looked = match self.look(remote).await {
            // A listing that failed is no reason not to select (5.3 R3).
            Err(::git::GitError::Network { .. }) => self.look(remote).await,
            other => other,
        };
        let cloning = |e: ::git::GitError| {
            Error::from(e).within(format!("error cloning git repo {:?}: ", self.url))
        };
        let mut looked = looked.map_err(cloning)?;
        let mut again = true;
        loop {
            let Some(snapshot) = looked.snapshot.take() else {
                return Ok(self.unchanged(looked.observed));
            };
            let selected = match self.selector.strategy {
                Strategy::NewestFromBranch => self.branch(&snapshot).await,
                _ => self.tags(&snapshot).await,
            };
            match selected {
                // Objects that are not as they were fetched: once more, with a
                // mirror that is made anew.
                Err(error) if again && is_broken(&error) => {
                    tracing::warn!(%error, repo = self.url, "a mirror cannot be read and is made anew");
                    again = false;
                    self.commits.git.mark_broken(&snapshot);
                    drop(snapshot);
                    looked = self.look(remote).await.map_err(cloning)?;
                }
                Err(error) => return Err(error),
                Ok((commits, report)) => {
                    let result = GitDiscoveryResult {
                        repo_url: self.url.to_owned(),
                        commits,
                        subscription_name: String::new(),
                        observed_refs: looked.observed,
                    };
                    return Ok(Discovered { result, report });
                }
            }
        }
    }

    /// Lists the references and fetches what the strategy reads, unless what
    /// counts is as it was last time.
    async fn look(&self, remote: &Remote) -> Result<Looked, ::git::GitError> {
        let freshness = match self.commits.settings.listing_age {
            Duration::ZERO => Freshness::Now,
            age => Freshness::Within(age),
        };
        let (selector, previous) = (self.selector.clone(), self.previous.cloned());
        let url = self.url.to_owned();
        let need = move |listing: &Listing| {
            let now = observe(&selector, listing);
            if observed::still_holds(previous.as_ref(), &url, now.as_ref()) {
                Need::Nothing
            } else {
                need(&selector, listing)
            }
        };
        let look = self.commits.git.look(remote, freshness, need, self.cancel).await?;
        let observed = observe(&self.selector, &look.listing);
        Ok(Looked { observed, snapshot: look.snapshot })
    }

    fn unchanged(&self, observed: Option<ObservedRefs>) -> Discovered {
        let counted = match self.selector.strategy {
            Strategy::NewestFromBranch => Counted::Commits,
            _ => Counted::Tags,
        };
        let result = match self.previous {
            Some(previous) => GitDiscoveryResult { observed_refs: observed, ..previous.clone() },
            None => GitDiscoveryResult::default(),
        };
        Discovered {
            result,
            report: CommitReport { unchanged: true, ..CommitReport::new(counted) },
        }
    }
}

/// Of a branch subscription: the branch, or the default one.
fn branch_of<'a>(selector: &'a Selector, listing: &'a Listing) -> Option<&'a str> {
    match selector.branch.as_str() {
        "" => listing.default_branch(),
        branch => Some(branch),
    }
}

/// What is observed of a listing.
fn observe(selector: &Selector, listing: &Listing) -> Option<ObservedRefs> {
    if selector.strategy() == Strategy::NewestFromBranch {
        let tip = branch_of(selector, listing).and_then(|branch| listing.branch(branch).ok());
        return observed::branch(tip.map(|id| id.to_string()));
    }
    let counting = listing.tags().filter(|(name, _)| selector.check_name(name).is_ok());
    observed::tags(counting.map(|(name, id)| (name.to_owned(), id.to_string())))
}

/// Which objects the strategy reads: history where something must be searched
/// for in it, single commits otherwise.
fn need(selector: &Selector, listing: &Listing) -> Need {
    let searches = !selector.paths.is_empty();
    if selector.strategy() == Strategy::NewestFromBranch {
        if searches || selector.filter.is_some() {
            return Need::Everything;
        }
        let branch = branch_of(selector, listing);
        let references = branch.map(|branch| format!("refs/heads/{branch}")).into_iter().collect();
        return Need::Tips { references, depth: u32::try_from(selector.limit).unwrap_or(u32::MAX) };
    }
    let (named, _) = tags::named(selector, listing.default_branch(), listing.tags());
    let all = selector.strategy() == Strategy::NewestTag || selector.filter.is_some();
    let read = if all { named.len() } else { named.len().min(selector.limit) };
    if searches || read > FEW_TAGS {
        return Need::Everything;
    }
    let references = named.into_iter().take(read).map(|tag| tag.reference).collect();
    Need::Tips { references, depth: 1 }
}

/// Whether the mirror is to blame.
fn is_broken(error: &Error) -> bool {
    matches!(error.root(), Error::Git(::git::GitError::Internal { .. }))
}

type Selected = (Vec<DiscoveredCommit>, CommitReport);

impl Search<'_> {
    /// The newest commits of a branch (5.4).
    async fn branch(&self, snapshot: &Snapshot) -> Result<Selected, Error> {
        let listing = snapshot.listing();
        let cloning = |e: Error| e.within(format!("error cloning git repo {:?}: ", self.url));
        let Some(branch) = branch_of(&self.selector, listing) else {
            return Err(cloning(Error::Absent(format!(
                "repo {} has no default branch yet; push a first commit, or name the branch",
                listing.url()
            ))));
        };
        let tip = listing.branch(branch).map_err(|e| cloning(e.into()))?;
        let (selector, url) = (self.selector.clone(), self.url.to_owned());
        let read = move |reader: &Reader<'_>| -> Result<Selected, Error> {
            let commits = reader.first_parents(tip).map(|commit| Ok(commit?));
            let touched = |commit: &Arc<::git::Commit>| Ok(reader.touched(commit)?);
            let (taken, report) = branch::take(&selector, &url, commits, touched)?;
            let found = taken.iter().map(|c| found(c.facts(), &selector.branch)).collect();
            Ok((found, report))
        };
        let read = self.commits.git.read(snapshot, self.cancel, read).await;
        read.map_err(|e| e.within("error selecting relevant commits from branch: "))
    }

    /// The newest tags (5.5).
    async fn tags(&self, snapshot: &Snapshot) -> Result<Selected, Error> {
        let (selector, url) = (self.selector.clone(), self.url.to_owned());
        let read = move |reader: &Reader<'_>| -> Result<Selected, Error> {
            let listing = reader.snapshot().listing();
            let (named, mut report) =
                tags::named(&selector, listing.default_branch(), listing.tags());
            let read = |tag: &tags::Named<::git::Oid>| {
                let listing = |e: ::git::GitError| {
                    Error::from(e).within(format!("error listing tags for repo {url:?}: "))
                };
                Ok(tag_facts(&tag.name, reader.tag(&tag.name, tag.id).map_err(listing)?))
            };
            let touched = |tag: &TagFacts| -> Result<Arc<[Box<str>]>, Error> {
                // An annotated tag of a tree or blob touches nothing.
                match reader.commit_named(&tag.id)? {
                    Some(commit) => Ok(reader.touched(&commit)?),
                    None => Ok(Arc::default()),
                }
            };
            let taken = tags::take(&selector, &url, named, &mut report, read, touched)?;
            Ok((taken.into_iter().map(found_tag).collect(), report))
        };
        self.commits.git.read(snapshot, self.cancel, read).await
    }
}

impl Candidate for Arc<::git::Commit> {
    fn facts(&self) -> CommitFacts {
        CommitFacts {
            id: self.id().to_string(),
            subject: self.subject().to_owned(),
            author: self.author().to_owned(),
            committer: self.committer().to_owned(),
            date: self.committed(),
        }
    }

    fn committed_at(&self) -> i64 {
        self.committed().timestamp().as_second()
    }

    fn short_id(&self) -> String {
        self.id().to_string().chars().take(12).collect()
    }
}

/// `None` for a tag that nothing gives a date to.
fn tag_facts(name: &str, tag: ::git::Tag) -> Option<TagFacts> {
    let (subject, author, committer) = match &tag.commit {
        Some(c) => (c.subject().to_owned(), c.author().to_owned(), c.committer().to_owned()),
        // What the reference's format makes of a tree or blob.
        None => (String::new(), " ".to_owned(), " ".to_owned()),
    };
    Some(TagFacts {
        tag: name.to_owned(),
        id: tag.target.to_string(),
        subject,
        author,
        committer,
        tagger: tag.tagger,
        annotation: tag.annotation,
        created: tag.created?,
    })
}

fn found(commit: CommitFacts, branch: &str) -> DiscoveredCommit {
    DiscoveredCommit {
        id: commit.id,
        branch: branch.to_owned(),
        tag: String::new(),
        subject: shortened(&commit.subject, MAX_SUBJECT),
        author: commit.author,
        committer: commit.committer,
        creator_date: whole_seconds(&commit.date),
    }
}

fn found_tag(tag: TagFacts) -> DiscoveredCommit {
    DiscoveredCommit {
        id: tag.id,
        branch: String::new(),
        tag: tag.tag,
        subject: shortened(&tag.subject, MAX_SUBJECT),
        author: tag.author,
        committer: tag.committer,
        creator_date: whole_seconds(&tag.created),
    }
}

/// The time as the API keeps it.
fn whole_seconds(at: &Zoned) -> Option<Time> {
    Timestamp::from_second(at.timestamp().as_second()).ok().map(Time)
}

/// Cuts a text to `max` bytes, three dots at its end among them. A character
/// that is cut in two becomes U+FFFD for each of its bytes that is left, as in
/// Go's JSON.
pub(super) fn shortened(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let head = text.as_bytes().get(..max.saturating_sub(3)).unwrap_or_default();
    let mut out = String::with_capacity(max);
    for chunk in head.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    out.push_str("...");
    out
}
