//! Annotated tags (`steps-git` 8).

use git2::{ObjectType, Oid};

use crate::checkout::Checkout;
use crate::commit::Committer;
use crate::error::GitError;
use crate::repository::Identity;

/// What to tag the commit that is checked out with.
#[derive(Clone, Debug)]
pub struct TagRequest {
    /// The tag's name.
    pub name: String,
    /// Its message; surplus blank lines and lines that begin with `#` go, as
    /// with `git tag -m`.
    pub message: String,
    /// Who tags; signed where they have a key.
    pub identity: Identity,
    /// The tag's time: the same inputs yield the same tag.
    pub time: jiff::Timestamp,
    /// Whether a tag of that name is moved.
    pub force: bool,
}

impl Checkout {
    /// Puts an annotated tag on the commit that is checked out. It is known in
    /// the clone alone. The very tag that is there already is no error.
    ///
    /// # Errors
    /// [`GitError::TagExists`], a name that cannot be one, a branch without a
    /// commit, a key that cannot sign.
    pub fn tag(&self, request: &TagRequest) -> Result<(), GitError> {
        let TagRequest { name, message, identity, time, force } = request;
        let reference = format!("refs/tags/{name}");
        if name.starts_with('-') || !git2::Reference::is_valid_name(&reference) {
            return Err(GitError::Config(format!("{name:?} cannot be the name of a tag")));
        }
        let repository = self.git()?;
        let local = GitError::local("tagging");
        let target = self.head_id(&repository)?;
        let tagger = Committer::new(identity, *time)?;
        let message = git2::message_prettify(message.as_str(), Some(b'#')).map_err(&local)?;
        let who = &tagger.signature;
        let mut content = format!(
            "object {target}\ntype commit\ntag {name}\ntagger {} <{}> {} +0000\n\n{message}",
            String::from_utf8_lossy(who.name_bytes()),
            String::from_utf8_lossy(who.email_bytes()),
            time.as_second(),
        );
        if let Some(signature) = tagger.sign(content.as_bytes())? {
            content.push_str(signature.trim_end());
            content.push('\n');
        }
        let odb = repository.odb().map_err(&local)?;
        let id = odb.write(ObjectType::Tag, content.as_bytes()).map_err(&local)?;
        let before = repository.refname_to_id(&reference).ok();
        if before.is_some_and(|before| before != id) && !force {
            return Err(GitError::TagExists { tag: name.clone() });
        }
        repository.reference(&reference, id, true, "tag").map(drop).map_err(&local)
    }

    /// Whether a tag of the clone is the one that `request` would make, but
    /// for its signature: our own work of an earlier attempt.
    ///
    /// # Errors
    /// A clone that cannot be read.
    pub fn has_tag(&self, request: &TagRequest) -> Result<bool, GitError> {
        let repository = self.git()?;
        let local = GitError::local("reading a tag");
        let Ok(id) = repository.refname_to_id(&format!("refs/tags/{}", request.name)) else {
            return Ok(false);
        };
        let Ok(tag) = repository.find_tag(id) else { return Ok(false) };
        let head: Oid = self.head_id(&repository)?;
        let message =
            git2::message_prettify(request.message.as_str(), Some(b'#')).map_err(&local)?;
        let at = tag.tagger().map(|tagger| tagger.when().seconds());
        let said = tag.message_bytes().unwrap_or_default();
        Ok(tag.target_id() == head
            && at == Some(request.time.as_second())
            && said.starts_with(message.as_bytes()))
    }
}
