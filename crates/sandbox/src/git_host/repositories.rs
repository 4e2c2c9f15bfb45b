//! Making repositories and commits, and looking into them: what a person does
//! at a Git host.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use super::backend::git_command;
use super::{GitHost, GitHostError, Shared};

/// The longest output of a `git` command that is read, in bytes.
const MAX_OUTPUT_BYTES: usize = 256 << 20;

/// What a commit does to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// Writes it.
    Write(String, Vec<u8>),
    /// Removes it.
    Remove(String),
    /// Makes it a submodule at this commit of another repository.
    Submodule(String, String),
}

impl FileChange {
    /// Writes a file.
    pub fn write(path: &str, content: impl Into<Vec<u8>>) -> Self {
        Self::Write(path.to_owned(), content.into())
    }
}

/// A commit as `git log` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its id.
    pub id: String,
    /// Its parents' ids.
    pub parents: Vec<String>,
    /// `Name <email>` of the author.
    pub author: String,
    /// The author's time, in seconds since 1970.
    pub author_time: i64,
    /// `Name <email>` of the committer.
    pub committer: String,
    /// The committer's time, in seconds since 1970.
    pub committer_time: i64,
    /// The whole message as stored.
    pub message: String,
}

/// The path of a repository with `.git` at its end.
pub(crate) fn with_suffix(path: &str) -> String {
    let path = path.trim_matches('/');
    if path.ends_with(".git") { path.to_owned() } else { format!("{path}.git") }
}

/// Repository paths: a few plain segments.
pub(crate) fn check_name(path: &str) -> Result<(), GitHostError> {
    let plain = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && !segment.starts_with('-')
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || "._-+~".contains(c))
    };
    let path = path.trim_matches('/');
    if !path.is_empty() && path.len() <= 512 && path.split('/').all(plain) {
        Ok(())
    } else {
        Err(GitHostError::Name(path.to_owned()))
    }
}

pub(super) fn check_ref(name: &str) -> Result<(), GitHostError> {
    let bad = name.is_empty()
        || name.starts_with('-')
        || name.contains("..")
        || name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c));
    if bad { Err(GitHostError::Name(name.to_owned())) } else { Ok(()) }
}

impl GitHost {
    /// Makes a bare repository with `main` as its default branch and, where
    /// files are given, one commit with them on it. Returns the commit's id.
    ///
    /// # Errors
    /// A name that cannot be used, or what `git` says.
    pub async fn create_repository(
        &self,
        path: &str,
        files: &[(&str, &str)],
    ) -> Result<Option<String>, GitHostError> {
        check_name(path)?;
        let dir = self.root().join(with_suffix(path));
        std::fs::create_dir_all(&dir)
            .map_err(GitHostError::io(format!("directory {}", dir.display())))?;
        self.git(path, &["init", "--quiet", "--bare", "--initial-branch=main", "."], &[]).await?;
        for (key, value) in
            [("http.receivepack", "true"), ("gc.auto", "0"), ("receive.autogc", "false")]
        {
            self.git(path, &["config", key, value], &[]).await?;
        }
        if files.is_empty() {
            return Ok(None);
        }
        let changes: Vec<FileChange> =
            files.iter().map(|(name, content)| FileChange::write(name, *content)).collect();
        self.commit(path, "main", "Initial content", &changes).await.map(Some)
    }

    /// Commits one file on a branch and returns the commit's id. The branch
    /// is made where there is none.
    ///
    /// # Errors
    /// A name that cannot be used, or what `git` says.
    pub async fn commit_file(
        &self,
        path: &str,
        branch: &str,
        file: &str,
        content: &str,
        message: &str,
    ) -> Result<String, GitHostError> {
        self.commit(path, branch, message, &[FileChange::write(file, content)]).await
    }

    /// Commits changes on a branch and returns the commit's id. The branch is
    /// made, without history, where there is none.
    ///
    /// # Errors
    /// A name that cannot be used, or what `git` says.
    pub async fn commit(
        &self,
        path: &str,
        branch: &str,
        message: &str,
        changes: &[FileChange],
    ) -> Result<String, GitHostError> {
        check_ref(branch)?;
        let _one_at_a_time = self.shared.writing.lock().await;
        let reference = format!("refs/heads/{branch}");
        let now = jiff::Timestamp::now().as_second();
        let mut script = format!(
            "commit {reference}\ncommitter Developer <developer@example.com> {now} +0000\ndata {}\n{message}\n",
            message.len()
        )
        .into_bytes();
        if self.id(path, &reference).await?.is_some() {
            script.extend_from_slice(format!("from {reference}^0\n").as_bytes());
        }
        for change in changes {
            let (FileChange::Write(file, _)
            | FileChange::Remove(file)
            | FileChange::Submodule(file, _)) = change;
            if file.is_empty() || file.contains(['\n', '\0', '"']) {
                return Err(GitHostError::Name(file.clone()));
            }
            match change {
                FileChange::Write(file, content) => {
                    script.extend_from_slice(
                        format!("M 100644 inline {file}\ndata {}\n", content.len()).as_bytes(),
                    );
                    script.extend_from_slice(content);
                    script.push(b'\n');
                }
                FileChange::Submodule(file, id) => {
                    check_ref(id)?;
                    script.extend_from_slice(format!("M 160000 {id} {file}\n").as_bytes());
                }
                FileChange::Remove(file) => {
                    script.extend_from_slice(format!("D {file}\n").as_bytes());
                }
            }
        }
        self.git(path, &["fast-import", "--quiet", "--date-format=raw"], &script).await?;
        self.id(path, &reference).await?.ok_or(GitHostError::Name(reference))
    }

    /// The commit that a branch, tag or id names, if there is one.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn id(&self, path: &str, name: &str) -> Result<Option<String>, GitHostError> {
        self.shared.id(path, name).await
    }
}

impl Shared {
    /// As [`GitHost::id`].
    pub(super) async fn id(&self, path: &str, name: &str) -> Result<Option<String>, GitHostError> {
        check_ref(name)?;
        let peeled = format!("{name}^{{commit}}");
        match self.git(path, &["rev-parse", "--quiet", "--verify", &peeled], &[]).await {
            Ok(id) => Ok(Some(String::from_utf8_lossy(&id).trim().to_owned())),
            Err(GitHostError::Git { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl GitHost {
    /// The commits of a branch, newest first, at most 1,000.
    ///
    /// # Errors
    /// What `git` says, for example when there is no such branch.
    pub async fn log(&self, path: &str, branch: &str) -> Result<Vec<CommitInfo>, GitHostError> {
        check_ref(branch)?;
        const FORMAT: &str =
            "--format=%H%x00%P%x00%an <%ae>%x00%at%x00%cn <%ce>%x00%ct%x00%B%x00%x00";
        let out = self
            .git(path, &["log", "--max-count=1000", "--topo-order", FORMAT, branch, "--"], &[])
            .await?;
        let text = String::from_utf8_lossy(&out);
        Ok(text
            .split("\0\0\n")
            .filter_map(|entry| {
                let mut fields = entry.split('\0');
                Some(CommitInfo {
                    id: fields.next().filter(|id| !id.is_empty())?.to_owned(),
                    parents: fields.next()?.split_whitespace().map(str::to_owned).collect(),
                    author: fields.next()?.to_owned(),
                    author_time: fields.next()?.parse().ok()?,
                    committer: fields.next()?.to_owned(),
                    committer_time: fields.next()?.parse().ok()?,
                    message: fields.next()?.to_owned(),
                })
            })
            .collect())
    }

    /// The signature of a commit as it is stored; `None` where it has none.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn signature(
        &self,
        path: &str,
        commit: &str,
    ) -> Result<Option<String>, GitHostError> {
        check_ref(commit)?;
        let out = self.git(path, &["cat-file", "commit", commit], &[]).await?;
        let text = String::from_utf8_lossy(&out).into_owned();
        let header = text.split("\n\n").next().unwrap_or_default();
        Ok(header.split_once("\ngpgsig ").map(|(_, signature)| signature.to_owned()))
    }

    /// A file on a branch (or at a commit); `None` where there is none.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn read_file(
        &self,
        path: &str,
        branch: &str,
        file: &str,
    ) -> Result<Option<Vec<u8>>, GitHostError> {
        check_ref(branch)?;
        match self.git(path, &["cat-file", "blob", &format!("{branch}:{file}")], &[]).await {
            Ok(content) => Ok(Some(content)),
            Err(GitHostError::Git { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of all files on a branch (or at a commit), sorted.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn files(&self, path: &str, branch: &str) -> Result<Vec<String>, GitHostError> {
        check_ref(branch)?;
        let out = self.git(path, &["ls-tree", "-r", "-z", "--name-only", branch], &[]).await?;
        Ok(String::from_utf8_lossy(&out)
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// What a commit changed, as a unified diff without a header.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn diff(&self, path: &str, commit: &str) -> Result<String, GitHostError> {
        check_ref(commit)?;
        let out = self.git(path, &["show", "--format=", "--no-color", commit, "--"], &[]).await?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// All branches and tags with the commits that they name, sorted.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn references(&self, path: &str) -> Result<Vec<(String, String)>, GitHostError> {
        let format = "--format=%(refname) %(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)";
        let out = self.git(path, &["for-each-ref", format], &[]).await?;
        Ok(String::from_utf8_lossy(&out)
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect())
    }

    /// Puts a lightweight tag on what `at` names.
    ///
    /// # Errors
    /// What `git` says, for example when the tag exists.
    pub async fn tag(&self, path: &str, name: &str, at: &str) -> Result<(), GitHostError> {
        check_ref(name)?;
        check_ref(at)?;
        self.git(path, &["tag", name, at], &[]).await.map(drop)
    }

    /// Sets a branch to what `at` names, forwards or not; makes it where there
    /// is none.
    ///
    /// # Errors
    /// What `git` says.
    pub async fn set_branch(&self, path: &str, name: &str, at: &str) -> Result<(), GitHostError> {
        check_ref(name)?;
        check_ref(at)?;
        let reference = format!("refs/heads/{name}");
        self.git(path, &["update-ref", &reference, at], &[]).await.map(drop)
    }

    async fn git(
        &self,
        path: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<Vec<u8>, GitHostError> {
        self.shared.git(path, arguments, input).await
    }
}

impl Shared {
    /// Runs `git` in a repository and returns what it wrote.
    pub(super) async fn git(
        &self,
        path: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<Vec<u8>, GitHostError> {
        check_name(path)?;
        let dir = self.root.join(with_suffix(path));
        let command = arguments.first().copied().unwrap_or_default().to_owned();
        let io = || GitHostError::io(format!("git {command} in {}", dir.display()));
        let mut child = git_command(&self.root)
            .args(arguments)
            .current_dir(&dir)
            .env("GIT_DIR", ".")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(io())?;
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_vec();
            // A process that has failed already reads no more: its own message says why.
            tokio::spawn(async move {
                let _ = stdin.write_all(&input).await;
                let _ = stdin.shutdown().await;
            });
        }
        let output = child.wait_with_output().await.map_err(io())?;
        if !output.status.success() || output.stdout.len() > MAX_OUTPUT_BYTES {
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(GitHostError::Git { command, message });
        }
        Ok(output.stdout)
    }
}
