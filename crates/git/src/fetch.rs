//! One conversation with a server: the references are listed, and on the same
//! connection the objects that are wanted and not there yet are fetched.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use git2::{Direction, Oid, ProxyOptions, RemoteConnection};

use crate::error::GitError;
use crate::eviction;
use crate::remote::{Bounds, Conversation, Remote};
use crate::snapshot::{ListedRef, Listing, Need};

/// How many references of a repository are looked at.
const MAX_REFERENCES: usize = 500_000;

/// The file in a mirror that has only some references or a part of their
/// history.
const PARTIAL: &str = "partial";

/// What a mirror has of what was listed last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Has {
    /// Nothing that is known of.
    #[default]
    Nothing,
    /// By reference: the commit it named, and how deep its history is there.
    Tips(HashMap<String, (Oid, u32)>),
    /// All that was listed, with its history.
    Everything,
}

impl Has {
    /// Whether what is there serves a need.
    pub(crate) fn serves(&self, need: &Need, listing: &Listing) -> bool {
        match (self, need) {
            (_, Need::Nothing) | (Self::Everything, _) => true,
            (Self::Tips(_), Need::Tips { .. }) => self.lacks(need, listing).is_empty(),
            _ => false,
        }
    }

    /// The references of a need that are not there, or not deep enough.
    fn lacks<'a>(&self, need: &'a Need, listing: &Listing) -> Vec<&'a str> {
        let Need::Tips { references, depth } = need else { return Vec::new() };
        let none = HashMap::new();
        let tips = match self {
            Self::Tips(tips) => tips,
            _ => &none,
        };
        references
            .iter()
            .filter_map(|name| Some((name.as_str(), listing.find(name)?)))
            .filter(|(name, id)| {
                !tips.get(*name).is_some_and(|(has, deep)| has == id && deep >= depth)
            })
            .map(|(name, _)| name)
            .collect()
    }

    /// What of it still holds for a newer listing.
    fn after(self, listing: &Listing, before: Option<&[ListedRef]>) -> Self {
        match self {
            Self::Everything if before == Some(listing.references()) => Self::Everything,
            Self::Tips(mut tips) => {
                tips.retain(|name, (id, _)| listing.find(name) == Some(*id));
                Self::Tips(tips)
            }
            _ => Self::Nothing,
        }
    }
}

/// What was known before a conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before {
    pub(crate) references: Option<Arc<Vec<ListedRef>>>,
    pub(crate) has: Has,
}

/// Lists the references and fetches what `need` says of the listing.
pub(crate) fn converse(
    dir: &Path,
    remote: &Remote,
    bounds: &Bounds,
    before: Before,
    need: &dyn Fn(&Listing) -> Need,
) -> Result<(Listing, Has), GitError> {
    bounds.check("fetching")?;
    let repository = open_or_init(dir)?;
    let conversation = Conversation::new(remote, bounds, "fetching");
    let explain = |error: git2::Error| conversation.explain(&error);
    let mut origin = repository.remote_anonymous(remote.access_url()).map_err(explain)?;
    let mut connection = origin
        .connect_auth(Direction::Fetch, Some(conversation.callbacks()), Some(proxy()))
        .map_err(explain)?;
    let listing = list(&connection, &conversation, remote)?;
    let references = before.references.as_deref().map(Vec::as_slice);
    let has = before.has.after(&listing, references);
    let need = need(&listing);
    let has = if has.serves(&need, &listing) {
        has
    } else {
        bring(&repository, &mut connection, &conversation, &listing, &need, has)?
    };
    drop(connection);
    eviction::mark_used(dir)?;
    Ok((listing, has))
}

fn list(
    connection: &RemoteConnection<'_, '_, '_>,
    conversation: &Conversation,
    remote: &Remote,
) -> Result<Listing, GitError> {
    let mut references = Vec::new();
    let mut head = None;
    for listed in connection.list().map_err(|e| conversation.explain(&e))? {
        let name = listed.name();
        if name == "HEAD" {
            head = Some(listed.oid());
        }
        let wanted = name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
        // A name that Git would not take (a line break in it) is no name.
        if wanted && !name.ends_with("^{}") && git2::Reference::is_valid_name(name) {
            references.push(ListedRef { name: name.to_owned(), id: listed.oid() });
        }
    }
    if references.len() > MAX_REFERENCES {
        return Err(GitError::Config(format!(
            "repo {} has more than {MAX_REFERENCES} branches and tags",
            remote.url()
        )));
    }
    let default_branch = connection
        .default_branch()
        .ok()
        .and_then(|name| name.as_str().ok().map(str::to_owned))
        .and_then(|name| name.strip_prefix("refs/heads/").map(str::to_owned))
        .or_else(|| guess_default(head, &references));
    Ok(Listing { url: remote.url().to_owned(), references: Arc::new(references), default_branch })
}

/// Fetches what is needed. A mirror that has everything of an earlier time is
/// brought up to date as a whole; only one that is new, or has a part, takes
/// single references with a part of their history.
fn bring(
    repository: &git2::Repository,
    connection: &mut RemoteConnection<'_, '_, '_>,
    conversation: &Conversation,
    listing: &Listing,
    need: &Need,
    has: Has,
) -> Result<Has, GitError> {
    let (same, there) = forget_stale(repository, listing).map_err(GitError::local("mirror"))?;
    let partial = repository.path().join(PARTIAL);
    let is_partial = partial.exists() || repository.is_shallow();
    if same == listing.references.len() && !is_partial {
        return Ok(Has::Everything);
    }
    let is_new = there == 0;
    let some = has.lacks(need, listing);
    let mut options = git2::FetchOptions::new();
    options
        .remote_callbacks(conversation.callbacks())
        .proxy_options(proxy())
        .follow_redirects(git2::RemoteRedirect::None)
        .download_tags(git2::AutotagOption::None)
        .update_fetchhead(false);
    let explain = |error: git2::Error| conversation.explain(&error);
    if let Need::Tips { depth, .. } = need
        && (is_partial || is_new)
    {
        fs::write(&partial, "").map_err(GitError::io("marking a mirror as partial"))?;
        let mut tips = match has {
            Has::Tips(tips) => tips,
            _ => HashMap::new(),
        };
        if !some.is_empty() {
            options.depth(i32::try_from(*depth).unwrap_or(i32::MAX).max(1));
            let specs: Vec<String> = some.iter().map(|name| format!("+{name}:{name}")).collect();
            connection.remote().fetch(&specs, Some(&mut options), None).map_err(explain)?;
        }
        for name in some {
            if let Some(id) = listing.find(name) {
                tips.insert(name.to_owned(), (id, *depth));
            }
        }
        return Ok(Has::Tips(tips));
    }
    if repository.is_shallow() {
        options.depth(i32::MAX);
    }
    let specs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
    connection.remote().fetch(&specs, Some(&mut options), None).map_err(explain)?;
    if partial.exists() {
        fs::remove_file(&partial).map_err(GitError::io("marking a mirror as whole"))?;
    }
    Ok(Has::Everything)
}

/// Removes references that the server no longer has; how many are as the
/// server has them, and how many there were.
fn forget_stale(
    repository: &git2::Repository,
    listing: &Listing,
) -> Result<(usize, usize), git2::Error> {
    let wanted: HashMap<&str, Oid> =
        listing.references.iter().map(|r| (r.name.as_str(), r.id)).collect();
    let (mut same, mut there) = (0, 0);
    for reference in repository.references()? {
        let mut reference = reference?;
        there += 1;
        let name = reference.name().unwrap_or_default().to_owned();
        match wanted.get(name.as_str()) {
            Some(id) if reference.target() == Some(*id) => same += 1,
            Some(_) => {}
            None if name == "HEAD" => {}
            None => reference.delete()?,
        }
    }
    Ok((same, there))
}

fn guess_default(head: Option<Oid>, references: &[ListedRef]) -> Option<String> {
    let head = head?;
    let mut branches: Vec<&str> = references
        .iter()
        .filter(|r| r.id == head)
        .filter_map(|r| r.name.strip_prefix("refs/heads/"))
        .collect();
    branches.sort_by_key(|name| (*name != "main", *name != "master", *name));
    branches.first().map(|name| (*name).to_owned())
}

/// Opens a bare repository, making it where there is none. Redirects to other
/// hosts are followed by none of our connections.
pub(crate) fn open_or_init(dir: &Path) -> Result<git2::Repository, GitError> {
    if let Ok(repository) = git2::Repository::open_bare(dir) {
        return Ok(repository);
    }
    let doing = "making a repository on disk";
    let local = GitError::local(doing);
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).mkpath(true).external_template(false).initial_head("main");
    let repository = git2::Repository::init_opts(dir, &options).map_err(&local)?;
    let mut config = repository.config().map_err(&local)?;
    config.set_str("http.followRedirects", "false").map_err(&local)?;
    drop(config);
    Ok(repository)
}

pub(crate) fn proxy() -> ProxyOptions<'static> {
    let mut proxy = ProxyOptions::new();
    proxy.auto();
    proxy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(references: &[(&str, u8)]) -> Listing {
        let references = references
            .iter()
            .map(|(name, id)| ListedRef {
                name: (*name).to_owned(),
                id: Oid::from_bytes(&[*id; 20]).unwrap(),
            })
            .collect();
        Listing { url: "u".into(), references: Arc::new(references), default_branch: None }
    }

    fn tips(names: &[&str], depth: u32) -> Need {
        Need::Tips { references: names.iter().map(|n| (*n).to_owned()).collect(), depth }
    }

    #[test]
    fn what_is_there_serves_a_need_or_not() {
        let now = listing(&[("refs/heads/a", 1), ("refs/heads/b", 2)]);
        let a = ("refs/heads/a".to_owned(), (Oid::from_bytes(&[1; 20]).unwrap(), 20));
        let has = Has::Tips(HashMap::from([a]));
        for (has, need, expected) in [
            (&Has::Nothing, Need::Nothing, true),
            (&Has::Nothing, tips(&["refs/heads/a"], 1), false),
            (&Has::Everything, Need::Everything, true),
            (&Has::Everything, tips(&["refs/heads/a"], 99), true),
            (&has, Need::Everything, false),
            (&has, tips(&["refs/heads/a"], 20), true),
            (&has, tips(&["refs/heads/a"], 21), false),
            (&has, tips(&["refs/heads/a", "refs/heads/b"], 1), false),
            // What the server does not list cannot be had.
            (&has, tips(&["refs/heads/gone"], 1), true),
        ] {
            assert_eq!(has.serves(&need, &now), expected, "{has:?} {need:?}");
        }
        // The branch moved on.
        let later = listing(&[("refs/heads/a", 3), ("refs/heads/b", 2)]);
        assert_eq!(has.after(&later, Some(now.references())), Has::Tips(HashMap::new()));
        assert_eq!(Has::Everything.after(&later, Some(now.references())), Has::Nothing);
        assert_eq!(Has::Everything.after(&now, Some(now.references())), Has::Everything);
        assert_eq!(Has::Everything.after(&now, None), Has::Nothing);
    }
}
